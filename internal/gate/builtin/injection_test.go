package builtin

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

const sidecar = `[
 {"op":"add","path":"/metadata/annotations","value":{"istio.io/rev":"1-29-1"}},
 {"op":"add","path":"/spec/initContainers","value":[{"name":"istio-init","image":"hub/proxyv2:1.29.1"},
   {"name":"istio-proxy","image":"hub/proxyv2:1.29.1-distroless","restartPolicy":"Always","env":[{"name":"CA_ADDR","value":"x"},{"name":"NEW"}]}]}]`

func TestInject(t *testing.T) {
	tests := map[string]struct {
		response *admissionv1.AdmissionResponse
		want     string
	}{
		"its own proxy":          {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(sidecar)}, ""},
		"an image of a mirror":   {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(strings.ReplaceAll(sidecar, "proxyv2:1.29.1-distroless", "proxyv2@sha256:abc"))}, ""},
		"no patch":               {&admissionv1.AdmissionResponse{Allowed: true}, "no proxy is injected"},
		"refused":                {refuse("template is broken"), "template is broken"},
		"refused without reason": {&admissionv1.AdmissionResponse{}, "refused without a reason"},
		"another revision":       {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(strings.ReplaceAll(sidecar, "1-29-1", "1-28-3"))}, `revision "1-28-3" instead of "1-29-1"`},
		"another minor version":  {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(strings.ReplaceAll(sidecar, "1.29.1", "1.28.3"))}, "is of Istio 1.28, and the release is 1.29.1"},
		"a later patch":          {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(strings.ReplaceAll(sidecar, ":1.29.1", ":1.29.7"))}, ""},
		"a registry with a port": {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(strings.ReplaceAll(sidecar, "hub/proxyv2:1.29.1", "hub:1281/proxyv2"))}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, _ := admission(t, func(req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
				if req.Kind.Kind != "Pod" || req.Namespace != "demo" || req.Operation != admissionv1.Create {
					t.Errorf("request for %s of %s in %s, want creation of a Pod in demo", req.Operation, req.Kind, req.Namespace)
				}
				return test.response
			})
			pod, refused, err := r.inject(t.Context(), "demo")
			if err != nil {
				t.Fatalf("inject: %v", err)
			}
			if got := unfit(gatetest.Subject(), injected{"demo", pod, refused}); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("unfit: %q, want %q", got, test.want)
			}
		})
	}
}

func TestDifference(t *testing.T) {
	pod := func(containers, init []corev1.Container) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{Containers: containers, InitContainers: init}}
	}
	env := func(names ...string) (out []corev1.EnvVar) {
		for _, n := range names {
			out = append(out, corev1.EnvVar{Name: n, Value: "of a revision"})
		}
		return out
	}
	from := pod([]corev1.Container{{Name: "app"}, {Name: "istio-proxy", Image: "p:1", Env: env("A", "OLD")}}, []corev1.Container{{Name: "istio-init"}})
	to := pod([]corev1.Container{{Name: "app"}}, []corev1.Container{{Name: "istio-proxy", Image: "p:2", Env: env("A", "NEW")}})
	want := "differs from the former proxy: istio-init as removed, istio-init image removed, istio-proxy as container → init container, " +
		"istio-proxy env NEW added, istio-proxy env OLD removed, istio-proxy image p:1 → p:2"
	if diff := cmp.Diff(want, difference(from, to)); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if got := difference(to, to); got != "no difference from the former proxy" {
		t.Errorf("difference of the same: %q", got)
	}
}

func TestTaggedNamespaces(t *testing.T) {
	namespace := func(name string, labels map[string]string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	tests := map[string]struct {
		objects []client.Object
		want    []string
	}{
		"one of each tag": {[]client.Object{namespace("a", map[string]string{"istio-injection": "enabled"}), namespace("b", map[string]string{"istio.io/rev": "prod"}),
			namespace("c", map[string]string{"istio.io/rev": "prod"})}, []string{"a", "b"}},
		"not those that opted out": {[]client.Object{namespace("a", map[string]string{"istio-injection": "disabled", "istio.io/rev": "prod"})}, []string{"istio-system"}},
		"the control plane's":      {nil, []string{"istio-system"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			m.Client = onePage{fake.NewClientBuilder().WithObjects(test.objects...).Build()}
			got, err := taggedNamespaces(context.Background(), m)
			if err != nil {
				t.Fatalf("taggedNamespaces: %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("taggedNamespaces (-want +got):\n%s", diff)
			}
		})
	}
}

// onePage honours the limit of a list, which the fake client does not.
type onePage struct{ client.Client }

func (c onePage) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(opts)
	if err := c.Client.List(ctx, list, opts...); err != nil {
		return err
	}
	metadata, ok := list.(*metav1.PartialObjectMetadataList)
	if !ok || o.Limit != 1 {
		return errors.New("namespaces are listed one at a time, as metadata")
	}
	metadata.Items = metadata.Items[:min(len(metadata.Items), 1)]
	return nil
}
