package discovery

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func reading(peers ...string) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) {
		for _, p := range peers {
			m.Spec.Peers = append(m.Spec.Peers, meshv1alpha1.Peer{Name: p, ReaderSecret: "shop-" + p + "-reader"})
		}
	}
}

func credential(peer, kubeconfig string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.Namespace, Name: "shop-" + peer + "-reader"},
		Data:       map[string][]byte{kubeconfigKey: []byte(kubeconfig)},
	}
}

func TestRemoteSecrets(t *testing.T) {
	h := hub(credential("west", "kubeconfig of west"), credential("empty", ""))
	secrets, missing, err := RemoteSecrets(t.Context(), h, testutil.Member("east", reading("west", "empty", "north")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"empty", "north"}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if len(secrets) != 1 {
		t.Fatalf("%d Secrets, want one", len(secrets))
	}
	// The label, the annotation and the key of the data are what istiod reads.
	want := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{
			"name": "istio-remote-secret-west", "namespace": "istio-system",
			"labels":      map[string]any{"istio/multiCluster": "true"},
			"annotations": map[string]any{"networking.istio.io/cluster": "west"},
		},
		"data": map[string]any{"west": base64.StdEncoding.EncodeToString([]byte("kubeconfig of west"))},
	}
	if diff := cmp.Diff(want, secrets[0].Object); diff != "" {
		t.Errorf("Secret (-want +got):\n%s", diff)
	}
	ref := RemoteSecretReference("istio-system", "west")
	if o := secrets[0]; ref.GroupVersionKind() != o.GroupVersionKind() || ref.Namespace != o.GetNamespace() || ref.Name != o.GetName() {
		t.Errorf("reference %+v does not name it", ref)
	}
}

func TestRemoteSecretsOfALoneMember(t *testing.T) {
	secrets, missing, err := RemoteSecrets(t.Context(), hub(), testutil.Member("east"))
	if len(secrets) > 0 || len(missing) > 0 || err != nil {
		t.Errorf("got %v, %v, %v", secrets, missing, err)
	}
}

func TestRemoteSecretsReportsWhatCannotBeRead(t *testing.T) {
	broken := errors.New("the API server says no")
	h := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return broken
		},
	})
	if _, _, err := RemoteSecrets(t.Context(), h, testutil.Member("east", reading("west"))); !errors.Is(err, broken) {
		t.Errorf("error is %v, want that of the API server", err)
	}
}

// The names must be those of the cluster: istiod takes the current context, and people read the rest.
func TestKubeconfigHasOneOfEach(t *testing.T) {
	raw, err := kubeconfig("east", server, []byte("the CA"), token)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "east",
		"clusters": []any{map[string]any{"name": "east", "cluster": map[string]any{
			"server": server, "certificate-authority-data": base64.StdEncoding.EncodeToString([]byte("the CA")),
		}}},
		"users":    []any{map[string]any{"name": "east", "user": map[string]any{"token": token}}},
		"contexts": []any{map[string]any{"name": "east", "context": map[string]any{"cluster": "east", "user": "east"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kubeconfig (-want +got):\n%s", diff)
	}
}
