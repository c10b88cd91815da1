package builtin

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

func virtualService(name string, labels map[string]string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"hosts": []any{"web"}}}}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"})
	o.SetNamespace("demo")
	o.SetName(name)
	o.SetLabels(labels)
	return o
}

func TestConfigValid(t *testing.T) {
	kind := validatedKind{schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"},
		schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}}
	tests := map[string]struct {
		objects []*unstructured.Unstructured
		want    meshv1alpha1.Verdict
		words   string
	}{
		"nothing to validate": {nil, meshv1alpha1.VerdictPass, "0 objects valid"},
		"all are valid":       {[]*unstructured.Unstructured{virtualService("a", nil), virtualService("b", map[string]string{"istio.io/rev": "1-29-1"})}, meshv1alpha1.VerdictPass, "2 objects valid"},
		"one is not":          {[]*unstructured.Unstructured{virtualService("a", nil), virtualService("bad", nil)}, meshv1alpha1.VerdictFail, "revision 1-29-1 rejects 1 of 2 objects: VirtualService demo/bad: host web is bad"},
		"of another revision": {[]*unstructured.Unstructured{virtualService("bad", map[string]string{"istio.io/rev": "1-28-3"})}, meshv1alpha1.VerdictPass, "0 objects valid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, _ := admission(t, func(req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				if req.Resource.Resource != "virtualservices" || req.Namespace != "demo" {
					t.Errorf("request for %s in %s", req.Resource, req.Namespace)
				}
				if strings.HasPrefix(req.Name, "bad") {
					return refuse("host web is bad")
				}
				return &admissionv1.AdmissionResponse{Allowed: true}
			})
			v := validation{member: gatetest.Subject(), to: r}
			for _, o := range test.objects {
				if err := v.check(t.Context(), kind, o); err != nil {
					t.Fatalf("check: %v", err)
				}
			}
			gatetest.Check(t, v.answer(), test.want, test.words)
		})
	}
}

func TestConfigValidExcuses(t *testing.T) {
	former, _ := admission(t, func(req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: req.Name == "new"}
	})
	v := validation{member: gatetest.Subject(), checked: 3}
	for _, name := range []string{"old", "new"} {
		v.rejected = append(v.rejected, rejection{object: virtualService(name, nil), why: "no"})
	}
	if err := v.excuse(t.Context(), former); err != nil {
		t.Fatalf("excuse: %v", err)
	}
	gatetest.Check(t, v.answer(), meshv1alpha1.VerdictFail, "rejects 1 of 3 objects: VirtualService demo/new: no")
	v.rejected = nil
	gatetest.Check(t, v.answer(), meshv1alpha1.VerdictPass, "2 objects valid; revision 1-28-3 rejects these too: VirtualService demo/old")
}
