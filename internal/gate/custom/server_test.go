package custom

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

// customSubject is a member whose hub has these Secrets.
func customSubject(secrets ...client.Object) *gate.Subject {
	m := gatetest.Subject()
	m.Mesh = types.NamespacedName{Namespace: "meshes", Name: "shop"}
	m.Upgrade, m.Stage = "shop-1", meshv1alpha1.StageWorkloads
	m.Hub = fake.NewClientBuilder().WithObjects(secrets...).Build()
	return m
}

func gateSecretOf(kind string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "meshes", Name: "own"}, Type: corev1.SecretType(kind), Data: bytesOf(data)}
}

func bytesOf(data map[string]string) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range data {
		out[k] = []byte(v)
	}
	return out
}

func get(ctx context.Context, m *gate.Subject, spec meshv1alpha1.GateServer) (int, error) {
	c, err := connect(ctx, m, spec)
	if err != nil {
		return 0, err
	}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, spec.URL, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, plain(err)
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestConnect(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "https://example.invalid/", http.StatusTemporaryRedirect)
		} else if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, test := range map[string]struct {
		path   string
		secret *corev1.Secret
		want   int
		says   string
	}{
		"token and authority":        {secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"token": "s3cret\n", "ca.crt": ca}), want: 200},
		"authority alone":            {secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"ca.crt": ca}), want: 401},
		"a redirect is not followed": {path: "/elsewhere", secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"token": "s3cret", "ca.crt": ca}), want: 307},
		"the system's authorities":   {secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"token": "s3cret"}), says: "the server was not reached"},
		"another type":               {secret: gateSecretOf("Opaque", map[string]string{"token": "s3cret", "ca.crt": ca}), says: `is of type "Opaque"`},
		"nothing in it":              {secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"value": "s3cret"}), says: "has neither token nor ca.crt"},
		"no certificate":             {secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"ca.crt": "s3cret"}), says: "has no certificate"},
		"no token":                   {secret: gateSecretOf(meshv1alpha1.SecretTypeGate, map[string]string{"token": "s3cret s3cret"}), says: "is no bearer token"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := meshv1alpha1.GateServer{URL: server.URL + test.path + "?key=s3cret", SecretRef: &meshv1alpha1.GateSecretRef{Name: "own"}}
			got, err := get(t.Context(), customSubject(test.secret), spec)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("error is %v, want %q and no secret in it", err, test.says)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("answered %d, %v, want %d", got, err, test.want)
			}
		})
	}
	if _, err := get(t.Context(), customSubject(), meshv1alpha1.GateServer{URL: server.URL, SecretRef: &meshv1alpha1.GateSecretRef{Name: "own"}}); err == nil ||
		!strings.Contains(err.Error(), `read Secret "own"`) {
		t.Errorf("error is %v, want one that names the Secret", err)
	}
}
