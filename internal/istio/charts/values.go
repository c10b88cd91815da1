package charts

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// defaultsKey holds a chart's defaults; templates merge the user's values over it, so that Helm itself sees none of
// the real keys and accepts every typo. Source: zzz_profile.yaml of each chart.
const defaultsKey = "_internal_defaults_do_not_set"

// extraKeys are top-level keys that the templates read in another form than topLevel finds.
var extraKeys = map[string][]string{
	Istiod:  {"profile", "platform", "compatibilityVersion", "pilot", "global", "meshConfig"},
	Gateway: {"profile", "platform", "compatibilityVersion", "global"},
	Base:    {"profile", "platform", "compatibilityVersion", "global"},
}

// topLevel finds the top-level values that a template reads.
var topLevel = regexp.MustCompile(`\.Values\.([A-Za-z][A-Za-z0-9_]*)`)

// aliases are the keys below which a chart reads every value a second time. Source: zzy_descope_legacy.yaml of the istiod
// chart, and zzz_profile.yaml of the gateway chart.
var aliases = map[string]string{Istiod: "pilot", Gateway: "global"}

// ValueError is one value that cannot be accepted.
type ValueError struct {
	// Path is the dotted path of the value.
	Path string
	// Problem says what is wrong and what to do. It never repeats the value, which may be secret.
	Problem string
}

func (e *ValueError) Error() string { return e.Path + ": " + e.Problem }

// valueCheck collects the problems of the values of one chart: one for each path, the first that is found.
type valueCheck struct {
	version, chart string
	problems       map[string]string
}

func (c *valueCheck) refuse(path, format string, args ...any) {
	if _, ok := c.problems[path]; !ok {
		c.problems[path] = fmt.Sprintf(format, args...)
	}
}

// CheckValues checks a user's values for a chart of a version. It refuses:
//   - names at the top that the chart does not read;
//   - values that the operator sets itself, or with which a member would not become ready;
//   - values of another type than the chart's own default, at any depth;
//   - names and types in meshConfig and global.meshNetworks that Istio's schema does not have;
//   - values that the release does not take any more.
//
// The error joins one *ValueError for each bad value; ErrNoChart when the chart is missing.
func (l *Library) CheckValues(r Ref, values map[string]any) error {
	c, err := l.load(r)
	if err != nil {
		return err
	}
	defaults, ok := c.Values[defaultsKey].(map[string]any)
	if !ok {
		return fmt.Errorf("chart %s %s has no %s: it is none of Istio's own charts, and its values cannot be checked", r.Chart, r.Version, defaultsKey)
	}
	check := &valueCheck{version: r.Version, chart: r.Chart, problems: map[string]string{}}
	check.all("", values, defaults, knownKeys(c, r.Chart, defaults))
	if release, ok := istioversion.Of(r.Version); ok && r.Chart == Istiod {
		for _, p := range release.CheckValues(values) {
			check.refuse(p.Path, "%s", p.Problem)
		}
	}
	problems := make([]error, 0, len(check.problems))
	for _, path := range sortedKeys(check.problems) {
		problems = append(problems, &ValueError{Path: path, Problem: check.problems[path]})
	}
	return errors.Join(problems...)
}

// all checks values that stand below a prefix: none, or the chart's alias.
func (c *valueCheck) all(prefix string, values, defaults map[string]any, known []string) {
	c.names(prefix, values, known)
	c.reserved(prefix, values)
	c.types(prefix, values, defaults)
	if c.chart == Istiod {
		c.meshConfig(prefix, values)
	}
	c.containers(prefix, values)
	alias, hasAlias := aliases[c.chart]
	v, isSet := values[alias]
	if prefix != "" || !hasAlias || !isSet || v == nil {
		return
	}
	below, isMap := v.(map[string]any)
	if !isMap {
		c.refuse(alias, "%s", wrongType(v, map[string]any{}, c.source()))
		return
	}
	if alias == "global" {
		// It has values of its own besides.
		defaults = maps.Clone(defaults)
		own, _ := defaults[alias].(map[string]any)
		maps.Copy(defaults, own)
		known = nil
	}
	c.all(alias+".", below, defaults, known)
}

func (c *valueCheck) source() string { return fmt.Sprintf("the %s chart of %s", c.chart, c.version) }

// names refuses names that the chart does not read. Without known names it accepts all.
func (c *valueCheck) names(prefix string, values map[string]any, known []string) {
	for _, k := range sortedKeys(values) {
		if len(known) == 0 || k == defaultsKey || k == "defaults" || slices.Contains(known, k) {
			continue
		}
		c.refuse(prefix+k, "%s does not know this value%s", c.source(), meant(k, known))
	}
}

// knownKeys are the top-level values that a chart reads.
func knownKeys(c *chart.Chart, name string, defaults map[string]any) []string {
	known := append(sortedKeys(defaults), extraKeys[name]...)
	for _, files := range [][]*chart.File{c.Templates, c.Files} {
		for _, f := range files {
			for _, match := range topLevel.FindAllSubmatch(f.Data, -1) {
				known = append(known, string(match[1]))
			}
		}
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// lookup finds the value at a dotted path.
func lookup(values map[string]any, path string) (any, bool) {
	head, rest, deeper := strings.Cut(path, ".")
	v, ok := values[head]
	if !ok || !deeper {
		return v, ok
	}
	m, _ := v.(map[string]any)
	return lookup(m, rest)
}

// meant proposes the known name that is nearest to a wrong one.
func meant(name string, known []string) string {
	if s := nearest(name, known); s != "" {
		return fmt.Sprintf("; did you mean %q?", s)
	}
	return "; remove it"
}
