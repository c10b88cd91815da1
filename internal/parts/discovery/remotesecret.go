package discovery

import (
	"crypto/sha256"
	"encoding/base64"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// RemoteSecretName is the name of the Secret by which a member's istiod reads a peer. It is the one that istioctl uses,
// so that a second one made by hand would collide instead of being ignored by istiod.
func RemoteSecretName(peer string) string { return "istio-remote-secret-" + peer }

// RemoteSecretReference names the Secret of a peer in a member.
func RemoteSecretReference(namespace, peer string) apply.Reference {
	return apply.Reference{Version: "v1", Kind: "Secret", Namespace: namespace, Name: RemoteSecretName(peer)}
}

// Identity of a kubeconfig is where it leads and by which way, without the token in it. Two of one identity are as good as each
// other. False: it cannot be read.
func Identity(peer string, kubeconfig []byte) (sum [sha256.Size]byte, ok bool) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil || config.AuthInfos[peer] == nil {
		return sum, false
	}
	config.AuthInfos[peer].Token = ""
	out, err := clientcmd.Write(*config)
	return sha256.Sum256(out), err == nil
}

// RemoteSecret is the Secret by which istiod reads a peer.
func RemoteSecret(namespace, peer string, kubeconfig []byte) *unstructured.Unstructured {
	o := secret(namespace, RemoteSecretName(peer), map[string][]byte{peer: kubeconfig})
	o.SetLabels(map[string]string{"istio/multiCluster": "true"})
	o.SetAnnotations(map[string]string{"networking.istio.io/cluster": peer})
	return o
}

// TokenSecrets are the Secrets with the tokens of the peers, from which istiod's files are made.
func TokenSecrets(namespace string, tokens map[string][]byte) []*unstructured.Unstructured {
	shards := make([]map[string][]byte, mesh.ReaderTokensSecrets)
	for peer, token := range tokens {
		i := mesh.ReaderTokensShard(peer)
		if shards[i] == nil {
			shards[i] = map[string][]byte{}
		}
		shards[i][peer] = token
	}
	var out []*unstructured.Unstructured
	for i, data := range shards {
		if data != nil {
			out = append(out, secret(namespace, mesh.ReaderTokensSecretName(i), data))
		}
	}
	return out
}

func secret(namespace, name string, data map[string][]byte) *unstructured.Unstructured {
	encoded := map[string]any{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString(v)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": string(corev1.SecretTypeOpaque),
		"metadata": map[string]any{"name": name, "namespace": namespace},
		"data":     encoded,
	}}
}
