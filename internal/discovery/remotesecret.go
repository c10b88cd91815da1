package discovery

import (
	"context"
	"encoding/base64"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
)

// RemoteSecretName is the name of the Secret by which a member's istiod reads a peer. It is the one that istioctl uses,
// so that a second one made by hand would collide instead of being ignored by istiod.
func RemoteSecretName(peer string) string { return "istio-remote-secret-" + peer }

// RemoteSecretReference names the Secret of a peer in a member.
func RemoteSecretReference(namespace, peer string) apply.Reference {
	return apply.Reference{Version: "v1", Kind: "Secret", Namespace: namespace, Name: RemoteSecretName(peer)}
}

// RemoteSecrets are the Secrets that a member needs for the peers whose credential is on the hub, and the names of
// the peers whose credential is not there yet.
func RemoteSecrets(ctx context.Context, hub client.Reader, m *meshv1alpha1.MeshMember) ([]*unstructured.Unstructured, []string, error) {
	var (
		secrets []*unstructured.Unstructured
		missing []string
	)
	for _, peer := range m.Spec.Peers {
		reader := &corev1.Secret{}
		err := hub.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: peer.ReaderSecret}, reader)
		if client.IgnoreNotFound(err) != nil {
			return nil, nil, fmt.Errorf("read Secret %q: %w", peer.ReaderSecret, err)
		}
		if apierrors.IsNotFound(err) || len(reader.Data[kubeconfigKey]) == 0 {
			missing = append(missing, peer.Name)
			continue
		}
		secrets = append(secrets, remoteSecret(m.Spec.ControlPlaneNamespace, peer.Name, reader.Data[kubeconfigKey]))
	}
	return secrets, missing, nil
}

func remoteSecret(namespace, peer string, kubeconfig []byte) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"type":       string(corev1.SecretTypeOpaque),
		"metadata": map[string]any{
			"name":        RemoteSecretName(peer),
			"namespace":   namespace,
			"labels":      map[string]any{"istio/multiCluster": "true"},
			"annotations": map[string]any{"networking.istio.io/cluster": peer},
		},
		"data": map[string]any{peer: base64.StdEncoding.EncodeToString(kubeconfig)},
	}}
}
