package gate

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// admission serves a webhook that answers with what respond makes of the request.
func admission(t *testing.T, respond func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) (reviewer, *httptest.Server) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &review); err != nil || r.Header.Get("Content-Type") != "application/json" {
			http.Error(w, "no review", http.StatusBadRequest)
			return
		}
		if !ptr.Deref(review.Request.DryRun, false) || review.APIVersion != "admission.k8s.io/v1" {
			t.Errorf("the review is no dry run of v1: %s", body)
		}
		review.Response = respond(review.Request)
		if review.Response != nil && review.Response.UID == "" {
			review.Response.UID = review.Request.UID
		}
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	return reviewer{client: server.Client(), url: server.URL + "/inject"}, server
}

func refuse(message string) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{Message: message}}
}

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
		"another release":        {&admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(strings.ReplaceAll(sidecar, "1.29.1", "1.28.3"))}, "is not of release 1.29.1"},
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
			if got := unfit(testMember(), injected{"demo", pod, refused}); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("unfit: %q, want %q", got, test.want)
			}
		})
	}
}

func TestReviewNeedsItsOwnAnswer(t *testing.T) {
	for name, response := range map[string]*admissionv1.AdmissionResponse{
		"no response":              nil,
		"response to another":      {UID: "other", Allowed: true},
		"a patch that is no patch": {Allowed: true, Patch: []byte("{")},
		"a patch that cannot be":   {Allowed: true, Patch: []byte(`[{"op":"remove","path":"/spec/nothing"}]`)},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := admission(t, func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { return response })
			if pod, refused, err := r.inject(t.Context(), "demo"); err == nil {
				t.Errorf("inject: %v, %q, want an error", pod, refused)
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
			v := validation{member: testMember(), to: r}
			for _, o := range test.objects {
				if err := v.check(t.Context(), kind, o); err != nil {
					t.Fatalf("check: %v", err)
				}
			}
			checkAnswer(t, v.answer(), test.want, test.words)
		})
	}
}

func TestConfigValidExcuses(t *testing.T) {
	former, _ := admission(t, func(req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: req.Name == "new"}
	})
	v := validation{member: testMember(), checked: 3}
	for _, name := range []string{"old", "new"} {
		v.rejected = append(v.rejected, rejection{object: virtualService(name, nil), why: "no"})
	}
	if err := v.excuse(t.Context(), former); err != nil {
		t.Fatalf("excuse: %v", err)
	}
	checkAnswer(t, v.answer(), meshv1alpha1.VerdictFail, "rejects 1 of 3 objects: VirtualService demo/new: no")
	v.rejected = nil
	checkAnswer(t, v.answer(), meshv1alpha1.VerdictPass, "2 objects valid; revision 1-28-3 rejects these too: VirtualService demo/old")
}

func TestFindWebhook(t *testing.T) {
	_, server := admission(t, func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse { return nil })
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	config := func(name, service, installation string, bundle []byte) client.Object {
		return &admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"istio.io/rev": "1-29-1", meshv1alpha1.LabelInstallation: installation}},
			Webhooks: []admissionregistrationv1.MutatingWebhook{{ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: bundle,
				Service: &admissionregistrationv1.ServiceReference{Name: service, Namespace: "istio-system", Path: ptr.To("/inject")}}}},
		}
	}
	tests := map[string]struct {
		objects []client.Object
		want    string
		wantErr string
	}{
		"that of the revision":    {[]client.Object{config("a", "istiod-other", "meshes.shop", ca), config("b", "istiod-1-29-1", "meshes.shop", ca)}, "istiod-1-29-1.istio-system.svc", ""},
		"not that of others":      {[]client.Object{config("a", "istiod-1-29-1", "meshes.other", ca)}, "", "no injection webhook"},
		"not before it is armed":  {[]client.Object{config("a", "istiod-1-29-1", "meshes.shop", nil)}, "", "no certificate in its caBundle"},
		"not without any webhook": {nil, "", "no injection webhook"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := testMember()
			m.Client = fake.NewClientBuilder().WithObjects(test.objects...).Build()
			got, err := m.injector(context.Background(), m.To)
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) || got.serverName != test.want {
				t.Errorf("injector: %q, %v; want %q, %q", got.serverName, err, test.want, test.wantErr)
			}
			if err == nil && got.path != "/inject" {
				t.Errorf("path %q, want /inject", got.path)
			}
		})
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
			m := testMember()
			m.Client = onePage{fake.NewClientBuilder().WithObjects(test.objects...).Build()}
			got, err := m.taggedNamespaces(context.Background())
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
