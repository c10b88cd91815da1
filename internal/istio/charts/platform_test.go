package charts

import (
	"encoding/json"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

func rendered(t *testing.T, version, chart, kind string, values map[string]any) *unstructured.Unstructured {
	t.Helper()
	objects, err := library(t).Render(Request{Version: version, Chart: chart, Release: chart, Namespace: "istio-system", Values: values})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == kind && (kind != "ConfigMap" || o.GetName() == "istio-sidecar-injector-rev")
	})
	if i < 0 {
		t.Fatalf("chart %s of %s has no %s", chart, version, kind)
	}
	return objects[i]
}

// TestInjectorKnowsTheCNI wants the injector's values to say whether sidecars rely on the CNI plugin, however users write it.
func TestInjectorKnowsTheCNI(t *testing.T) {
	type values = map[string]any
	for _, version := range versions() {
		for name, c := range map[string]struct {
			values values
			want   bool
		}{
			"nothing":               {},
			"cni.enabled":           {values: values{"cni": values{"enabled": true}}, want: true},
			"pilot.cni.enabled":     {values: values{"pilot": values{"cni": values{"enabled": true}}}, want: true},
			"a platform":            {values: values{"global": values{"platform": "openshift"}}, want: true},
			"a platform without it": {values: values{"global": values{"platform": "gke"}}},
		} {
			t.Run(version+"/"+name, func(t *testing.T) {
				given := values{"revision": "rev"}
				for k, v := range c.values {
					given[k] = v
				}
				text, _, _ := unstructured.NestedString(rendered(t, version, Istiod, "ConfigMap", given).Object, "data", "values")
				got := values{}
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatal(err)
				}
				if enabled, found, err := unstructured.NestedBool(got, "pilot", "cni", "enabled"); enabled != c.want || !found || err != nil {
					t.Errorf("pilot.cni.enabled is %v (%v, %v), want %v", enabled, found, err, c.want)
				}
			})
		}
	}
}

// TestGatewayChartReadsThePlatform wants a gateway on OpenShift to leave the user to the platform. From 1.30 on the chart leaves it to the
// injector everywhere.
func TestGatewayChartReadsThePlatform(t *testing.T) {
	for _, version := range versions() {
		setsUser := istioversion.Compare(version, "1.30.0") < 0
		for platform, fixed := range map[string]bool{"": setsUser, "gke": setsUser, "openshift": false} {
			o := rendered(t, version, Gateway, "Deployment", map[string]any{"name": "gw", "revision": "rev", "global": map[string]any{"platform": platform}})
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			if len(containers) != 1 {
				t.Fatalf("%s: %d containers", version, len(containers))
			}
			_, has, err := unstructured.NestedFieldNoCopy(containers[0].(map[string]any), "securityContext", "runAsUser")
			if has != fixed || err != nil {
				t.Errorf("%s on %q: runAsUser is set: %v, want %v (%v)", version, platform, has, fixed, err)
			}
		}
	}
}
