package parts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
)

// Renderings identify how this operator renders the charts of Istio releases.
type Renderings struct {
	charts charts.Renderer

	mu    sync.Mutex
	known map[string]string
}

// NewRenderings are those of charts.
func NewRenderings(lib charts.Renderer) *Renderings {
	return &Renderings{charts: lib, known: map[string]string{}}
}

// Of identifies how this operator renders a release: a hash of everything that it keeps of a revision and of its gateway, made for fixed
// work orders. It renders once in the life of the process, which takes some 100 ms. Error: charts.ErrNoChart, if the operator does not know
// the release.
func (r *Renderings) Of(version string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[version]; ok {
		return known, nil
	}
	sum := sha256.New()
	for _, spec := range canonical(version) {
		revision := &spec.Revisions[0]
		sets, err := controlplane.Render(r.charts, spec, revision)
		if err != nil {
			return "", fmt.Errorf("rendering of Istio %s: %w", version, err)
		}
		gateway, err := eastwest.Render(r.charts, spec, revision)
		if err != nil {
			return "", fmt.Errorf("rendering of Istio %s: %w", version, err)
		}
		for _, s := range []any{sets, gateway} {
			// The keys of maps are sorted.
			if err := json.NewEncoder(sum).Encode(s); err != nil {
				return "", fmt.Errorf("write the rendering of Istio %s: %w", version, err)
			}
		}
	}
	r.known[version] = hex.EncodeToString(sum.Sum(nil))[:mesh.HashLength]
	return r.known[version], nil
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
