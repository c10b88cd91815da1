package version

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ValueRule is a value of the istiod chart that a release does not take, or that does nothing any more.
type ValueRule struct {
	// Path of the value, its keys joined by dots.
	Path string
	// Is is the content that is not taken. Empty: any.
	Is string
	// Cure says what to write instead.
	Cure string
}

// removed128 holds for 1.28, 1.29 and 1.30. Source: the notes of the chart, and of release 1.28 for the metrics.
var removed128 = []ValueRule{
	{Path: "global.pilotCertProvider", Is: "kubernetes", Cure: "leave it out, or write istiod"},
	{Path: "telemetry.v2.prometheus.configOverride", Cure: "use the Telemetry API"},
	{Path: "telemetry.v2.stackdriver.disableOutbound", Cure: "use the Telemetry API"},
	{Path: "global.tracer.stackdriver", Cure: "use the Telemetry API"},
	{Path: "meshConfig.defaultConfig.tracing.stackdriver", Cure: "use the Telemetry API"},
	{Path: "env.METRIC_ROTATION_INTERVAL", Cure: "use the pods' annotation sidecar.istio.io/statsEvictionInterval"},
	{Path: "env.METRIC_GRACEFUL_DELETION_INTERVAL", Cure: "use the pods' annotation sidecar.istio.io/statsEvictionInterval"},
}

// removed131 holds for 1.31. Source: the notes of the chart, which are those of 1.28, and of release 1.31 for the spans.
var removed131 = append(slices.Clone(removed128),
	ValueRule{Path: "env.PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY", Cure: "leave it out: gateways always record a span for each request to an upstream"})

// ValueProblem is a value of the istiod chart that a release does not take.
type ValueProblem struct {
	// Path of the value, dotted.
	Path string
	// Problem says why, with the cure.
	Problem string
}

func (p ValueProblem) String() string { return "value " + p.Path + ": " + p.Problem }

// CheckValues says what the release does not take of these values of the istiod chart, each with its cure, sorted by path. The
// chart reads everything below `pilot` as if it were at the top.
func (r Release) CheckValues(values map[string]any) []ValueProblem {
	var problems []ValueProblem
	pilot, _ := values["pilot"].(map[string]any)
	for _, at := range []struct {
		prefix string
		values map[string]any
	}{{"", values}, {"pilot.", pilot}} {
		for _, rule := range r.Removed {
			if have, ok := lookup(at.values, rule.Path); ok && (rule.Is == "" || fmt.Sprint(have) == rule.Is) {
				problems = append(problems, ValueProblem{at.prefix + rule.Path, fmt.Sprintf("istio %s does not take this value; %s", r.Version, rule.Cure)})
			}
		}
	}
	problems = append(problems, r.checkTags(values, pilot)...)
	if compatible, ok := values["compatibilityVersion"]; ok && fmt.Sprint(compatible) != "" && !slices.Contains(r.Compatibility, fmt.Sprint(compatible)) {
		cure := "leave it out"
		if len(r.Compatibility) > 0 {
			cure += ", or write one of " + strings.Join(r.Compatibility, ", ")
		}
		problems = append(problems, ValueProblem{"compatibilityVersion", fmt.Sprintf("istio %s does not know %v; %s", r.Version, compatible, cure)})
	}
	slices.SortFunc(problems, func(a, b ValueProblem) int { return strings.Compare(a.Path, b.Path) })
	return problems
}

// minorOfTag finds the minor version with which the tag of an image begins, as of `1.29.1`, `1.29.1-distroless` and `1.29-alpha.a1b2`.
var minorOfTag = regexp.MustCompile(`^v?(\d+\.\d+)(?:[.-]|$)`)

// OtherMinor finds in the tag of an image that it is of another minor version than a release, and of which. Another patch is fine: users may
// take images of a later patch than the charts. So is a tag that tells no version, as of a mirror.
func OtherMinor(tag, version string) (minor string, isOther bool) {
	m := minorOfTag.FindStringSubmatch(tag)
	if len(m) < 2 || m[1] == minorOf(version) {
		return "", false
	}
	return m[1], true
}

// checkTags refuses tags of images of another minor version: istiod would run with the permissions, templates and settings of charts that were
// not made for it, and a change of the version would change no image.
func (r Release) checkTags(values, pilot map[string]any) []ValueProblem {
	var problems []ValueProblem
	for _, at := range []struct {
		path   string
		values map[string]any
		key    string
	}{{"global.tag", values, "global.tag"}, {"tag", values, "tag"}, {"pilot.tag", pilot, "tag"}} {
		have, _ := lookup(at.values, at.key)
		tag, _ := have.(string)
		if minor, isOther := OtherMinor(tag, r.Version); isOther {
			problems = append(problems, ValueProblem{at.path, fmt.Sprintf(
				"the images %s are of Istio %s, and the version is %s: change the tag with the version, or leave it out", tag, minor, r.Version)})
		}
	}
	return problems
}

// lookup finds a value. One that is null is not there.
func lookup(values map[string]any, path string) (any, bool) {
	key, rest, isDeep := strings.Cut(path, ".")
	v, ok := values[key]
	if !isDeep {
		return v, ok && v != nil
	}
	below, _ := v.(map[string]any)
	return lookup(below, rest)
}
