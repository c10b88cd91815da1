package webhooks

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
)

// open accepts all values.
type open struct{}

func (open) CheckValues(charts.Ref, map[string]any) error { return nil }

func TestMergedValues(t *testing.T) {
	const (
		corp  = `{"global":{"proxy":{"clusterDomain":"corp.internal"}}}`
		other = `{"pilot":{"global":{"proxy":{"clusterDomain":"other.internal"}}}}`
		demo  = `{"meshConfig":{"discoverySelectors":[{"matchLabels":{"kubernetes.io/metadata.name":"demo"}}]}}`
		own   = `{"meshConfig":{"discoverySelectors":[{"matchLabels":{"mesh":"on"}}]}}`
		east  = `{"meshConfig":{"discoverySelectors":[{"matchLabels":{"topology.istio.io/network":"east"}}]}}`
	)
	of := func(name, raw string) option {
		if raw == "" {
			return member(name, bySecret(name))
		}
		return member(name, bySecret(name), withValues(raw))
	}
	inSystem := func(i *meshv1alpha1.MeshInstallation) { i.Spec.ControlPlaneNamespace = "istio-system" }
	mesh := func(options ...option) *meshv1alpha1.MeshInstallation {
		return installation("shop", append([]option{inSystem}, options...)...)
	}
	cases := map[string]struct {
		old, inst *meshv1alpha1.MeshInstallation
		want      []string
		text      string
	}{
		"one domain for all":                 {nil, mesh(of("east", ""), of("west", ""), controlPlaneValues(corp)), nil, ""},
		"the same domain in each":            {nil, mesh(of("east", corp), of("west", corp)), nil, ""},
		"a domain of one":                    {nil, mesh(of("east", ""), of("west", corp)), []string{"spec.members[west].values.global.proxy.clusterDomain"}, `member "east" has cluster.local`},
		"two domains":                        {nil, mesh(of("east", other), of("west", ""), controlPlaneValues(corp)), []string{"spec.members[west].values.global.proxy.clusterDomain"}, "set it in spec.controlPlane.values"},
		"two domains that were there before": {mesh(of("east", ""), of("west", corp)), mesh(of("east", ""), of("west", corp), annotation("a")), nil, ""},
		"selectors of another namespace":     {nil, mesh(of("east", ""), of("west", ""), controlPlaneValues(demo)), []string{"spec.controlPlane.values.meshConfig.discoverySelectors"}, "matchLabels kubernetes.io/metadata.name: istio-system"},
		"selectors of a member":              {nil, mesh(of("east", ""), of("west", demo)), []string{"spec.members[west].values.meshConfig.discoverySelectors"}, "leave out namespace istio-system"},
		"a label that may be there":          {nil, mesh(of("east", ""), controlPlaneValues(own)), nil, ""},
		"the network of one member":          {nil, mesh(of("east", ""), of("west", ""), controlPlaneValues(east)), []string{"spec.controlPlane.values.meshConfig.discoverySelectors"}, `in member "west"`},
		"selectors that were there before":   {mesh(of("east", demo)), mesh(of("east", demo), annotation("a")), nil, ""},
		"values that are no map":             {nil, mesh(of("east", `"s3cret"`)), []string{"spec.members[east].values"}, "must be a map"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := newValidator(t)
			v.checker = open{}
			var err error
			if c.old == nil {
				_, err = v.ValidateCreate(t.Context(), c.inst)
			} else {
				_, err = v.ValidateUpdate(t.Context(), c.old, c.inst)
			}
			fields, messages := causes(t, err)
			if diff := cmp.Diff(c.want, fields); diff != "" || !strings.Contains(messages, c.text) {
				t.Errorf("refused fields (-want +got):\n%s\n%s\nwant %q", diff, messages, c.text)
			}
		})
	}
}
