package version

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// minor is what the operator knows of the releases of one minor version, also of patches that came out later than this operator. What
// differs between patches says for which it holds.
type minor struct {
	// name of the minor version, for example `1.29`.
	name string
	// packaged are the patches whose charts are in the operator's image, oldest first.
	packaged []packaged
	// minKubernetes is Release.MinKubernetes.
	minKubernetes string
	// kubernetes are the oldest and the newest minor version of Kubernetes that upstream supports. Source: the announcement of the minor
	// version.
	kubernetes [2]string
	// endOfSupport is the day on which upstream stops to mend security faults, in UTC, as 2006-01-02. Empty: not announced. Source: the
	// announcements below https://istio.io/latest/news/support/. The rule is six weeks after the minor version after the next one.
	endOfSupport string
	// Facts by patch; see the fields of Release with these names.
	misreadsPeerTrustDomain, configuresOwnGatewaysOnly, readsPeerSecrets patches
	gatewayAPI                                                           map[string]string
	maxJump                                                              uint64
	compatibility                                                        []string
	removed                                                              []ValueRule
	// isUntested says that no release of it was ever run with this operator: its facts are taken over from the minor version before.
	isUntested bool
	// defects are faults of some patches that a user of a mesh of many clusters, or a security team, must know of.
	defects []defect
}

// packaged is a patch whose charts are in the operator's image.
type packaged struct {
	patch uint64
	// renderings is Release.Renderings.
	renderings []string
}

// defect is a known fault of some patches.
type defect struct {
	patches patches
	// problem completes "Istio <version> ...".
	problem string
	// source is an address.
	source string
}

// patches are patches of a minor version: from the first to before the second number. An end of zero: no patch has the cure.
type patches []struct{ from, before uint64 }

// all are all patches.
var all = patches{{}}

// before are the patches before one.
func before(patch uint64) patches { return patches{{0, patch}} }

// has says whether a patch is one of them.
func (p patches) has(patch uint64) bool {
	return slices.ContainsFunc(p, func(s struct{ from, before uint64 }) bool {
		return patch >= s.from && (s.before == 0 || patch < s.before)
	})
}

// cure is the first patch after one that is not one of them. Zero: there is none.
func (p patches) cure(patch uint64) uint64 {
	for _, s := range p {
		if patch >= s.from && patch < s.before {
			return s.before
		}
	}
	return 0
}

// security2026006 lets everybody who may create an EnvoyFilter overload istiod.
const security2026006 = "https://istio.io/latest/news/security/istio-security-2026-006/"

// The notes of 1.31.1 have the fault with the names of the annotations; 1.30.4 and 1.29.7 have the same fix.
const (
	escapes   = "lets whoever creates pods add fields to injected containers by annotations"
	notes1311 = "https://istio.io/latest/news/releases/1.31.x/announcing-1.31.1/"
)

var minors = []minor{
	{
		name: "1.28", packaged: []packaged{{3, []string{"96f97449bf"}}},
		minKubernetes: "1.30", kubernetes: [2]string{"1.29", "1.34"}, endOfSupport: "2026-06-28",
		configuresOwnGatewaysOnly: all, readsPeerSecrets: all,
		gatewayAPI: gatewayAPI128, maxJump: 2, compatibility: []string{"1.25", "1.26", "1.27"}, removed: removed128,
		defects: []defect{
			{before(6), "restarts all Gateways of the Gateway API when istiod restarts", "https://github.com/istio/istio/issues/59709"},
			{all, "is affected by ISTIO-SECURITY-2026-006", security2026006},
			{all, escapes, notes1311},
		},
	},
	{
		name: "1.29", packaged: []packaged{{1, []string{"ec66bf80fe"}}},
		minKubernetes: "1.30", kubernetes: [2]string{"1.31", "1.35"}, endOfSupport: "2026-10-12",
		misreadsPeerTrustDomain: before(2), configuresOwnGatewaysOnly: all, readsPeerSecrets: all,
		gatewayAPI: gatewayAPI128, maxJump: 2, compatibility: []string{"1.25", "1.26", "1.27", "1.28"}, removed: removed128,
		defects: []defect{
			{before(2), "restarts all Gateways of the Gateway API when istiod restarts", "https://github.com/istio/istio/issues/59709"},
			{before(7), "is affected by ISTIO-SECURITY-2026-006", security2026006},
			{before(7), escapes, notes1311},
		},
	},
	// Sources for 1.30 and 1.31, in the modules that hack/charts names: MinK8SVersion in istioctl/pkg/install/k8sversion/version.go; the release
	// notes 59473.yaml and 59959.yaml, which both contain, so that they neither misread a trust domain nor drop a foreign Gateway (for 1.30
	// that is known of the patch in the image only); pilot/pkg/credentials/kube/multicluster.go, which in 1.31 starts the informer unless
	// PILOT_ENABLE_REMOTE_CREDENTIALS_CONTROLLER is false.
	{
		name: "1.30", packaged: []packaged{{4, []string{"4a4d98d49a"}}},
		minKubernetes: "1.32", kubernetes: [2]string{"1.32", "1.36"},
		configuresOwnGatewaysOnly: before(4), readsPeerSecrets: all,
		gatewayAPI: gatewayAPI130, maxJump: 2, compatibility: []string{"1.25", "1.26", "1.27", "1.28", "1.29"}, removed: removed128,
		defects: []defect{
			{before(4), "may lose all endpoints of a peer when its remote secret changes", "https://github.com/istio/istio/issues/61043"},
			{before(4), "may lose the gateway of a peer when its remote secret changes", "https://github.com/istio/istio/issues/60920"},
			{before(4), "is affected by ISTIO-SECURITY-2026-006", security2026006},
			{before(4), escapes, notes1311},
		},
	},
	{
		name: "1.31", packaged: []packaged{{0, []string{"bad4aecfb1"}}},
		minKubernetes: "1.32", kubernetes: [2]string{"1.32", "1.36"},
		readsPeerSecrets: all,
		gatewayAPI:       gatewayAPI131, maxJump: 2, compatibility: []string{"1.25", "1.26", "1.27", "1.28", "1.29", "1.30"}, removed: removed131,
		defects: []defect{
			{before(1), "sends plaintext if the CA of a BackendTLSPolicy cannot be read", "https://github.com/istio/istio/security/advisories/GHSA-qm8v-g4f9-qhjx"},
			{before(1), escapes, notes1311},
		},
	},
	// Neither charts nor modules of 1.32 could be had. It has the facts of 1.31, and the profiles of compatibility that its charts keep if they
	// follow those before. Its supported versions of Kubernetes are not known.
	{
		name: "1.32", isUntested: true,
		minKubernetes: "1.32", readsPeerSecrets: all,
		gatewayAPI: gatewayAPI131, maxJump: 2, compatibility: []string{"1.25", "1.26", "1.27", "1.28", "1.29", "1.30", "1.31"}, removed: removed131,
	},
}

// Of is what the operator knows of a release: one of a known minor version, whether its charts are in the image or not. A version with a
// suffix, or without a patch, is none.
func Of(version string) (Release, bool) {
	v, err := semver.StrictNewVersion(version)
	if err != nil || v.Prerelease() != "" || v.Metadata() != "" {
		return Release{}, false
	}
	name := fmt.Sprintf("%d.%d", v.Major(), v.Minor())
	i := slices.IndexFunc(minors, func(m minor) bool { return m.name == name })
	if i < 0 {
		return Release{}, false
	}
	return minors[i].release(v.Patch()), true
}

// release is what is known of a patch.
func (m *minor) release(patch uint64) Release {
	r := Release{
		Version: fmt.Sprintf("%s.%d", m.name, patch), MinKubernetes: m.minKubernetes,
		MisreadsPeerTrustDomain:   m.misreadsPeerTrustDomain.has(patch),
		ConfiguresOwnGatewaysOnly: m.configuresOwnGatewaysOnly.has(patch),
		ReadsPeerSecrets:          m.readsPeerSecrets.has(patch),
		GatewayAPI:                m.gatewayAPI, MaxJump: m.maxJump, Compatibility: m.compatibility, Removed: m.removed,
		kubernetes: m.kubernetes, endOfSupport: m.endOfSupport, isUntested: m.isUntested,
	}
	for _, p := range m.packaged {
		if p.patch == patch {
			r.Renderings = p.renderings
		}
	}
	for _, d := range m.defects {
		if d.patches.has(patch) {
			r.defects = append(r.defects, knownDefect{defect: d, cure: m.patch(d.patches.cure(patch))})
		}
	}
	return r
}

// patch is the version of a patch. Zero: none.
func (m *minor) patch(patch uint64) string {
	if patch == 0 {
		return ""
	}
	return fmt.Sprintf("%s.%d", m.name, patch)
}

// packagedTable is Packaged.
var packagedTable = packagedReleases()

func packagedReleases() Table {
	var t Table
	for i := range minors {
		for _, p := range minors[i].packaged {
			if r := minors[i].release(p.patch); !slices.Contains(strings.Split(withheld, ","), r.Version) {
				t = append(t, r)
			}
		}
	}
	return t
}

// knownDefect is a defect of a release, and the patch that cures it, if there is one.
type knownDefect struct {
	defect
	cure string
}

// Concern is a reason against a release.
type Concern string

// Kinds of concerns, the gravest first.
const (
	ConcernUnsupported Concern = "EndOfSupport"
	ConcernDefect      Concern = "KnownDefect"
	ConcernUntested    Concern = "Untested"
)

// Concerns are the reasons against running a release at a time, each a sentence with its cure. Kind is the gravest one's; it is empty if
// there is none.
func (r Release) Concerns(now time.Time) (kind Concern, sentences []string) {
	if end := r.EndOfSupport(); !end.IsZero() && !now.Before(end) {
		kind = ConcernUnsupported
		sentences = append(sentences, fmt.Sprintf("upstream support of Istio %s ended on %s, so it gets no security fixes: upgrade to a newer minor version",
			minorOf(r.Version), r.endOfSupport))
	}
	for _, d := range r.defects {
		if kind == "" {
			kind = ConcernDefect
		}
		cure := "upgrade to a newer minor version"
		if d.cure != "" {
			cure = "use " + d.cure + " or newer"
		}
		sentences = append(sentences, fmt.Sprintf("Istio %s %s: %s (%s)", r.Version, d.problem, cure, d.source))
	}
	if r.isUntested {
		if kind == "" {
			kind = ConcernUntested
		}
		sentences = append(sentences, fmt.Sprintf("Istio %s was never run with this operator, which takes it for one like the minor version before: "+
			"try it in a mesh of its own first, or use an operator that has its charts", minorOf(r.Version)))
	}
	return kind, sentences
}

// EndOfSupport is the end of upstream's support, which is the end of its last day in UTC. Zero: not announced.
func (r Release) EndOfSupport() time.Time {
	end, err := time.Parse(time.DateOnly, r.endOfSupport)
	if err != nil {
		return time.Time{}
	}
	return end.AddDate(0, 0, 1)
}

// KubernetesConcern is the reason against the release on an API server of this version, in the form of `/version`. Empty: upstream supports
// the combination, or one of the versions is unknown.
func (r Release) KubernetesConcern(gitVersion string) string {
	v, err := semver.NewVersion(gitVersion)
	if err != nil || r.kubernetes[0] == "" {
		return ""
	}
	oldest, newest := r.kubernetes[0], r.kubernetes[1]
	have := fmt.Sprintf("%d.%d", v.Major(), v.Minor())
	if Compare(have, oldest) >= 0 && Compare(have, newest) <= 0 {
		return ""
	}
	return fmt.Sprintf("Kubernetes %s: upstream supports Istio %s on Kubernetes %s to %s", have, minorOf(r.Version), oldest, newest)
}

// minorOf is the minor version of a release.
func minorOf(version string) string {
	return version[:strings.LastIndexByte(version, '.')]
}
