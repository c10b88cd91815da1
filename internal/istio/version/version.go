// Package version is the capability table: what the operator knows of every minor version of Istio and its patches, and which releases it
// can install. No other package compares Istio versions.
package version

import (
	"fmt"
	"slices"

	"github.com/Masterminds/semver/v3"
)

// Release is what is known of one Istio release.
type Release struct {
	// Version is the exact release, for example `1.29.1`.
	Version string
	// MinKubernetes is the oldest Kubernetes minor version that istiod of this release accepts. Source: the minimum
	// version check in the release's own pre-flight code.
	MinKubernetes string
	// MisreadsPeerTrustDomain says that istiod learns a peer's trust domain from the mesh ConfigMap of its own revision in
	// that peer, and gives pods that it sees before it has read one an identity without the domain, for as long as they
	// live. Clients then refuse these pods' certificates. Source: https://github.com/istio/istio/issues/59474; from 1.29.2
	// on the local trust domain is used instead.
	MisreadsPeerTrustDomain bool
	// ConfiguresOwnGatewaysOnly says that istiod knows a Gateway of the Gateway API only while the Gateway is its own, by its
	// tags. When a tag moves, the former owner takes the listeners away from pods that still serve; and what proxies will
	// get from the next owner cannot be seen before. Source: https://github.com/istio/istio/issues/59959, cured by
	// https://github.com/istio/istio/pull/60158.
	ConfiguresOwnGatewaysOnly bool
	// ReadsPeerSecrets says that istiod cannot read a peer without the permission to list Secrets of all namespaces there: it
	// starts a Secret informer for every cluster and waits until it has synced. Source: pilot/pkg/credentials/kube/secrets.go
	// and the chart's reader-clusterrole.yaml of 1.28.3 and 1.29.1.
	ReadsPeerSecrets bool
	// GatewayAPI are the oldest bundles of the Gateway API, by the name of the CustomResourceDefinition, of which istiod of
	// this release reads a kind. It ignores objects of a kind whose definition is older. Source: the release's list of
	// minimum versions for its watches.
	GatewayAPI map[string]string
	// MaxJump is the number of minor versions by which a control plane may be older when a revision of this release is run
	// beside it. Source: upstream's policy, which supports two by revision and has not tested more.
	MaxJump uint64
	// Compatibility are the values of compatibilityVersion that the charts have a profile for. Any other fails to render.
	Compatibility []string
	// Removed are values that the istiod chart does not take any more.
	Removed []ValueRule
	// Renderings identify how operator releases have rendered the charts of this release, oldest first: hashes of the objects for
	// fixed settings. The last one is this operator's. A test of internal/parts compares it. Empty: the charts are not in the image.
	Renderings []string

	kubernetes   [2]string
	endOfSupport string
	isUntested   bool
	defects      []knownDefect
}

// rendering stands for another rendering of every release. Only builds for tests of an update of the operator set it:
// go build -ldflags "-X github.com/meshfleet/meshfleet/internal/istio/version.rendering=b".
var rendering string

// Rendering identifies how this operator renders the charts of a version. Empty: as the first operator release did that knew it, or
// the version is not in the table.
func (t Table) Rendering(version string) string {
	r, isKnown := t.Lookup(version)
	switch {
	case !isKnown:
		return ""
	case rendering != "":
		return rendering
	case len(r.Renderings) < 2:
		return ""
	}
	return r.Renderings[len(r.Renderings)-1]
}

// Installable is what is known of a release that the operator can install: its charts are in the image, or fetched.
func Installable(version string, isFetched bool) (Release, bool) {
	if isFetched {
		return Of(version)
	}
	return Packaged().Lookup(version)
}

// With is the table with a release besides.
func (t Table) With(r Release) Table {
	if _, isThere := t.Lookup(r.Version); isThere {
		return t
	}
	return append(slices.Clone(t), r)
}

// IsRenderedAnew says whether this build renders as no release does, see rendering.
func IsRenderedAnew() (mark string, isAnew bool) { return rendering, rendering != "" }

// gatewayAPI128 holds for 1.28 and 1.29.
var gatewayAPI128 = map[string]string{
	"grpcroutes.gateway.networking.k8s.io":         "1.1.0",
	"backendtlspolicies.gateway.networking.k8s.io": "1.4.0",
}

// gatewayAPI130 holds for 1.30. Source: MinimumCRDVersions in pkg/config/schema/gatewayapi/minimumversions.go.
var gatewayAPI130 = map[string]string{
	"grpcroutes.gateway.networking.k8s.io":         "1.1.0",
	"backendtlspolicies.gateway.networking.k8s.io": "1.4.0",
	"tlsroutes.gateway.networking.k8s.io":          "1.5.0",
}

// gatewayAPI131 holds for 1.31. Source: the same file.
var gatewayAPI131 = map[string]string{
	"grpcroutes.gateway.networking.k8s.io":         "1.1.0",
	"backendtlspolicies.gateway.networking.k8s.io": "1.4.0",
	"tlsroutes.gateway.networking.k8s.io":          "1.5.0",
	"tcproutes.gateway.networking.k8s.io":          "1.6.0",
}

// withheld are releases, with commas between them, that a build leaves out of the table. Only builds for tests of an update of the operator
// set it: go build -ldflags "-X github.com/meshfleet/meshfleet/internal/istio/version.withheld=1.28.3".
var withheld string

// Nearest is the release in the table that is nearest to a version: the oldest of those that are newer, or else the newest.
func (t Table) Nearest(version string) string {
	nearest := ""
	for _, r := range t {
		isNewer, isFound := Compare(r.Version, version) >= 0, nearest != ""
		wasNewer := isFound && Compare(nearest, version) >= 0
		switch {
		case !isFound, isNewer && !wasNewer,
			isNewer == wasNewer && (Compare(r.Version, nearest) < 0) == isNewer:
			nearest = r.Version
		}
	}
	return nearest
}

// ReadPeerSecrets says whether istiod of any of these versions lists the Secrets of its peers. One that is not known counts as if.
func ReadPeerSecrets(versions ...string) bool {
	return slices.ContainsFunc(versions, func(v string) bool {
		release, known := Of(v)
		return !known || release.ReadsPeerSecrets
	})
}

// Supported lists the versions that can be installed, oldest first.
func Supported() []string {
	table := Packaged()
	versions := make([]string, 0, len(table))
	for _, r := range table {
		versions = append(versions, r.Version)
	}
	return versions
}

// Compare orders two versions: negative when a is older than b. A version that is no semantic version is older than
// every one that is.
func Compare(a, b string) int {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	switch {
	case errA != nil && errB != nil:
		return 0
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return va.Compare(vb)
}

// CheckKubernetes says whether an API server of this version, as `/version` reports it, can run the release.
func (r Release) CheckKubernetes(gitVersion string) error {
	v, err := semver.NewVersion(gitVersion)
	if err != nil {
		return fmt.Errorf("read Kubernetes version %q: %w", gitVersion, err)
	}
	least, err := semver.NewVersion(r.MinKubernetes)
	if err != nil {
		return fmt.Errorf("read minimum Kubernetes version %q: %w", r.MinKubernetes, err)
	}
	// Only the minor counts: vendors add suffixes that semantic versioning would read as pre-releases.
	if v.Major() < least.Major() || v.Major() == least.Major() && v.Minor() < least.Minor() {
		return fmt.Errorf("istio %s needs Kubernetes %s or newer, the cluster has %s", r.Version, r.MinKubernetes, gitVersion)
	}
	return nil
}

// CheckGatewayAPI says whether istiod of the release reads the kind of a CustomResourceDefinition of the Gateway API with
// this bundle version, as its annotation says. Any definition that the release has no minimum for is fine.
func (r Release) CheckGatewayAPI(name, bundle string) error {
	least, ok := r.GatewayAPI[name]
	if !ok {
		return nil
	}
	if bundle == "" {
		return fmt.Errorf("does not say its version, and istiod %s reads it from %s on", r.Version, least)
	}
	want, err := semver.NewVersion(least)
	if err != nil {
		return fmt.Errorf("read minimum bundle version %q: %w", least, err)
	}
	have, err := semver.NewVersion(bundle)
	if err != nil {
		return fmt.Errorf("read bundle version %q: %w", bundle, err)
	}
	// A pre-release counts as its release, as istiod sees it.
	if core := semver.New(have.Major(), have.Minor(), have.Patch(), "", ""); core.LessThan(want) {
		return fmt.Errorf("is of version %s, and istiod %s reads it from %s on", bundle, r.Version, least)
	}
	return nil
}
