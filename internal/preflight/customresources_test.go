package preflight

import (
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const wanted = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gateways.networking.istio.io, labels: {app.kubernetes.io/version: 1.29.1}}
spec: {versions: [{name: v1, served: true, storage: true}, {name: v1beta1, served: true}]}
`

// definition is one of Istio that is in the cluster, with v1 and v1beta1.
func definition(version string, change ...func(*apiextensionsv1.CustomResourceDefinition)) *apiextensionsv1.CustomResourceDefinition {
	d := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "gateways.networking.istio.io", Annotations: map[string]string{}, Labels: map[string]string{
			versionLabel: version, "app.kubernetes.io/managed-by": "meshfleet",
		}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Versions: []apiextensionsv1.CustomResourceDefinitionVersion{
			{Name: "v1", Served: true}, {Name: "v1beta1", Served: true},
		}},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func byHelm(d *apiextensionsv1.CustomResourceDefinition) {
	d.Labels["app.kubernetes.io/managed-by"] = "Helm"
	d.Annotations[helmRelease], d.Annotations[helmSpace] = "istio-base", "istio-system"
}

func byOLM(d *apiextensionsv1.CustomResourceDefinition) { d.Labels[olmLabel] = "true" }

func stored(versions ...string) func(*apiextensionsv1.CustomResourceDefinition) {
	return func(d *apiextensionsv1.CustomResourceDefinition) { d.Status.StoredVersions = versions }
}

func TestCustomResources(t *testing.T) {
	withoutV1 := func(d *apiextensionsv1.CustomResourceDefinition) { d.Spec.Versions = d.Spec.Versions[1:] }
	unlabelled := func(d *apiextensionsv1.CustomResourceDefinition) { delete(d.Labels, versionLabel) }
	cases := map[string]struct {
		live *apiextensionsv1.CustomResourceDefinition
		want string
	}{
		"ours and older": {live: definition("1.28.3")},
		"ours after Helm made it": {live: definition("1.28.3", byHelm, func(d *apiextensionsv1.CustomResourceDefinition) {
			d.Labels["app.kubernetes.io/managed-by"] = "meshfleet"
		})},
		"newer stays":                                     {live: definition("1.31.0", byHelm, stored("v1alpha1"))},
		"Helm's and older":                                {live: definition("1.28.3", byHelm), want: "belongs to Helm release istio-system/istio-base and is older than 1.29.1: upgrade that release"},
		"Helm's of the same release":                      {live: definition("1.29.1", byHelm)},
		"the lifecycle manager's and older":               {live: definition("1.28.3", byOLM), want: "belongs to the Operator Lifecycle Manager and is older than 1.29.1: upgrade the operator"},
		"the lifecycle manager's without versions":        {live: definition("", byOLM, unlabelled, withoutV1), want: "belongs to the Operator Lifecycle Manager and is older"},
		"the lifecycle manager's with all that is needed": {live: definition("", byOLM, unlabelled)},
		"objects of a version that goes":                  {live: definition("1.28.3", stored("v1alpha3", "v1")), want: "has objects stored as v1alpha3, which the release does not know"},
		"objects of a version that stays":                 {live: definition("1.28.3", stored("v1beta1"))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := subject(t, allowed{}, c.live)
			m.After = append(m.After, object(t, wanted))
			f, err := customResources(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.Problems, "; "); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("problems %q, want %q", got, c.want)
			}
		})
	}
	m := subject(t, allowed{})
	m.After = append(m.After, object(t, wanted))
	if f, err := customResources(t.Context(), m); err != nil || len(f.Problems) > 0 || f.Note != "1 definitions" {
		t.Errorf("one that is not there yet: %+v, %v", f, err)
	}
}

func TestGatewayAPI(t *testing.T) {
	policy := func(bundle string) *apiextensionsv1.CustomResourceDefinition {
		return &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{
			Name: "backendtlspolicies.gateway.networking.k8s.io", Annotations: map[string]string{bundleKey: bundle},
		}}
	}
	for bundle, want := range map[string]string{"v1.4.0": "", "v1.5.1": "", "v1.4.0-rc.2": "", "v1.3.0": "is of version v1.3.0", "": "does not say its version", "x": "read bundle version"} {
		t.Run(bundle, func(t *testing.T) {
			f, err := gatewayAPI(t.Context(), subject(t, allowed{}, policy(bundle)))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.Problems, "; "); !strings.Contains(got, want) || (want == "") != (got == "") {
				t.Errorf("problems %q, want %q", got, want)
			}
		})
	}
	if f, err := gatewayAPI(t.Context(), subject(t, allowed{})); err != nil || len(f.Problems) > 0 {
		t.Errorf("a cluster without the Gateway API: %+v, %v", f, err)
	}
}
