package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
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

// Credential is how a member reads one peer.
type Credential struct {
	// Peer is the name of the peer.
	Peer string
	// Kubeconfig is what the remote secret must contain, but for the token in it.
	Kubeconfig []byte
	// Token is the peer's present reader token.
	Token []byte
}

// Credentials are how a member reads the peers whose credential is on the hub, and the names of the peers whose credential is
// not there yet.
//
// A kubeconfig has a token even if it names a file: client-go uses it until the file is there, which takes kubelet up to two
// minutes (NewBearerAuthWithRefreshRoundTripper). It is never renewed.
func Credentials(ctx context.Context, hub client.Reader, m *meshv1alpha1.MeshMember) (all []Credential, missing []string, err error) {
	for _, peer := range m.Spec.Peers {
		reader := &corev1.Secret{}
		err := hub.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: peer.ReaderSecret}, reader)
		if client.IgnoreNotFound(err) != nil {
			return nil, nil, fmt.Errorf("read Secret %q: %w", peer.ReaderSecret, err)
		}
		if apierrors.IsNotFound(err) || len(reader.Data[kubeconfigKey]) == 0 || len(reader.Data[tokenKey]) == 0 {
			missing = append(missing, peer.Name)
			continue
		}
		c, err := credential(&m.Spec, peer.Name, reader)
		if err != nil {
			return nil, nil, fmt.Errorf("hub Secret %q: %w", peer.ReaderSecret, err)
		}
		all = append(all, c)
	}
	return all, missing, nil
}

func credential(m *meshv1alpha1.MeshMemberSpec, peer string, reader *corev1.Secret) (Credential, error) {
	config, err := clientcmd.Load(reader.Data[kubeconfigKey])
	if err != nil || config.Clusters[peer] == nil {
		// The error could quote the kubeconfig.
		return Credential{}, fmt.Errorf("its key %q is not the kubeconfig of %q; delete the Secret, it is made again", kubeconfigKey, peer)
	}
	leads := config.Clusters[peer]
	user := clientcmdapi.AuthInfo{Token: string(reader.Data[tokenKey])}
	if mesh.ReadsTokenFiles(m) {
		user.TokenFile = path.Join(mesh.ReaderTokensPath, peer)
	}
	endpoint := Endpoint{Server: leads.Server, ServerName: leads.TLSServerName, CA: leads.CertificateAuthorityData}
	raw, err := kubeconfig(peer, endpoint, user)
	return Credential{Peer: peer, Kubeconfig: raw, Token: reader.Data[tokenKey]}, err
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
