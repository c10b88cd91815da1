package parts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestRenderings compares how every release is rendered with the table.
func TestRenderings(t *testing.T) {
	library := charts.NewLibrary(testutil.InRepository("bin", "charts"))
	for _, release := range istioversion.Packaged() {
		got := renderingOf(t, library, release.Version)
		if known := release.Renderings; len(known) == 0 || known[len(known)-1] != got {
			t.Errorf("the objects that are rendered for Istio %[1]s have changed: they are %[2]s, the last of Renderings in internal/istio/version is not. "+
				"If no operator release has rendered the last one, replace it. Else append %[2]s: then the next operator release upgrades every mesh of that "+
				"version, by waves and with restarts of all workloads, which CHANGELOG.md must tell. To see what has changed, compare the golden files of "+
				"internal/istio/charts.", release.Version, got)
		}
	}
}

// renderingOf identifies how a release is rendered: a hash of everything that is kept of a revision and of its gateway, made for fixed
// work orders.
func renderingOf(t *testing.T, lib charts.Renderer, version string) string {
	t.Helper()
	sum := sha256.New()
	for _, spec := range canonical(version) {
		revision := &spec.Revisions[0]
		sets, err := controlplane.Render(lib, spec, revision)
		if err != nil {
			t.Fatalf("charts missing? run `make charts`: %v", err)
		}
		gateway, err := eastwest.Render(lib, spec, revision)
		testutil.Must(t, err)
		for _, s := range []any{sets, gateway} {
			// The keys of maps are sorted.
			testutil.Must(t, json.NewEncoder(sum).Encode(s))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:mesh.HashLength]
}

// canonical are the work orders whose rendering identifies a release: one with nothing set, and one with what changes most. They must not
// change without need: each change is another rendering of every release, and so an upgrade of every mesh. Both are in the namespace that
// most meshes use, so that the base chart, which takes the longest, is rendered once.
func canonical(version string) []*meshv1alpha1.MeshMemberSpec {
	plain := &meshv1alpha1.MeshMemberSpec{
		Installation: "mesh", Cluster: "member", Network: "network", MeshID: "mesh", TrustDomain: "cluster.local",
		ControlPlaneNamespace: "istio-system", DefaultRevision: "revision", GatewayRevision: "revision",
		Revisions: []meshv1alpha1.Revision{{Name: "revision", Version: version}},
	}
	full := plain.DeepCopy()
	full.TrustDomain, full.ReaderTokens = "mesh.example", meshv1alpha1.ReaderTokensFile
	full.Revisions[0].Values = &apiextensionsv1.JSON{Raw: []byte(`{"autoscaleMin":2,"resources":{"requests":{"cpu":"1","memory":"1Gi"}},` +
		`"global":{"proxy":{"clusterDomain":"mesh.local"},"logAsJson":true,"networkPolicy":{"enabled":true}},` +
		`"meshConfig":{"accessLogFile":"/dev/stdout","trustDomainAliases":["old.example"]},` +
		`"sidecarInjectorWebhook":{"enableNamespacesByDefault":true},"env":{"PILOT_ENABLE_ALPHA_GATEWAY_API":"true"}}`)}
	full.Revisions[0].Gateway = meshv1alpha1.RevisionGateway{
		Annotations: map[string]string{"cloud.example/internal": "true"},
		Replacement: meshv1alpha1.GatewayReplacementInPlace,
		Values:      &apiextensionsv1.JSON{Raw: []byte(`{"nodeSelector":{"pool":"edge"}}`)},
	}
	return []*meshv1alpha1.MeshMemberSpec{plain, full}
}

// changing renders as charts do, with an annotation on objects of a kind and a chart.
type changing struct {
	charts.Renderer
	chart, kind string
}

func (c *changing) Render(r charts.Request) ([]*unstructured.Unstructured, error) {
	objects, err := c.Renderer.Render(r)
	var out []*unstructured.Unstructured
	for _, o := range objects {
		o = o.DeepCopy()
		if r.Chart == c.chart && o.GetKind() == c.kind {
			o.SetAnnotations(map[string]string{"changed": "true"})
		}
		out = append(out, o)
	}
	return out, err
}

// TestRenderingsTellChangesApart wants every change of what is kept to be another rendering. The CRDs of all revisions are of the newest
// release, and are not kept.
func TestRenderingsTellChangesApart(t *testing.T) {
	library := charts.NewLibrary(testutil.InRepository("bin", "charts"))
	want := renderingOf(t, library, testutil.Version)
	for _, c := range []struct {
		chart, kind string
		isSame      bool
	}{
		{chart: charts.Istiod, kind: "Deployment"},
		{chart: charts.Istiod, kind: "MutatingWebhookConfiguration"},
		{chart: charts.Gateway, kind: "Deployment"},
		{chart: charts.Gateway, kind: "Service"},
		{chart: charts.Base, kind: "ValidatingWebhookConfiguration"},
		{chart: charts.Base, kind: "CustomResourceDefinition", isSame: true},
	} {
		if got := renderingOf(t, &changing{Renderer: library, chart: c.chart, kind: c.kind}, testutil.Version); (got == want) != c.isSame {
			t.Errorf("with a changed %s of chart %s: %q, without: %q, want the same: %t", c.kind, c.chart, got, want, c.isSame)
		}
	}
}
