package builtin

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
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
			m := gatetest.Subject()
			m.Client = fake.NewClientBuilder().WithObjects(test.objects...).Build()
			got, err := injector(context.Background(), m, m.To)
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) || got.serverName != test.want {
				t.Errorf("injector: %q, %v; want %q, %q", got.serverName, err, test.want, test.wantErr)
			}
			if err == nil && got.path != "/inject" {
				t.Errorf("path %q, want /inject", got.path)
			}
		})
	}
}
