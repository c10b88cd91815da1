package discovery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Credential is how a member reads one peer.
type Credential struct {
	// Peer is the name of the peer.
	Peer string
	// Kubeconfig is what the remote secret must contain, but for the token in it.
	Kubeconfig []byte
	// Token is the peer's present reader token.
	Token []byte

	// identity of the kubeconfig, see Identity. False: it cannot be read.
	identity   [sha256.Size]byte
	isReadable bool
}

// credentials reads the credentials of peers from the hub. It keeps what it has made of each Secret: all members read the same ones, and
// parsing the kubeconfigs of a thousand peers takes a second. The zero value is ready for use.
type credentials struct {
	mu   sync.Mutex
	made map[credentialKey]madeCredential
}

// credentialKey names a hub Secret and how it is used.
type credentialKey struct {
	secret     client.ObjectKey
	peer       string
	tokenFiles bool
}

// madeCredential is what was made of a version of a Secret.
type madeCredential struct {
	uid             types.UID
	resourceVersion string
	credential      Credential
}

// read is how a member reads the peers whose credential is on the hub, and the names of the peers whose credential is not there
// yet.
//
// A kubeconfig has a token even if it names a file: client-go uses it until the file is there, which takes kubelet up to two
// minutes (NewBearerAuthWithRefreshRoundTripper). It is never renewed.
func (s *credentials) read(ctx context.Context, hub client.Reader, m *meshv1alpha1.MeshMember) (all []Credential, missing []string, err error) {
	for _, peer := range m.Spec.Peers {
		key := credentialKey{client.ObjectKey{Namespace: m.Namespace, Name: peer.ReaderSecret}, peer.Name, mesh.ReadsTokenFiles(&m.Spec)}
		reader := &corev1.Secret{}
		// It is only read: the same Secrets are read for every member.
		err := hub.Get(ctx, key.secret, reader, client.UnsafeDisableDeepCopy)
		if client.IgnoreNotFound(err) != nil {
			return nil, nil, fmt.Errorf("read Secret %q: %w", peer.ReaderSecret, err)
		}
		if apierrors.IsNotFound(err) || len(reader.Data[kubeconfigKey]) == 0 || len(reader.Data[tokenKey]) == 0 {
			s.forget(key)
			missing = append(missing, peer.Name)
			continue
		}
		c, err := s.of(key, &m.Spec, reader)
		if err != nil {
			return nil, nil, fmt.Errorf("hub Secret %q: %w", peer.ReaderSecret, err)
		}
		all = append(all, c)
	}
	return all, missing, nil
}

// of is what was made of this version of a Secret, or is made now.
func (s *credentials) of(key credentialKey, m *meshv1alpha1.MeshMemberSpec, reader *corev1.Secret) (Credential, error) {
	s.mu.Lock()
	made, isThere := s.made[key]
	s.mu.Unlock()
	if isThere && reader.ResourceVersion != "" && made.uid == reader.UID && made.resourceVersion == reader.ResourceVersion {
		return made.credential, nil
	}
	c, err := credential(m, key.peer, reader)
	if err != nil {
		return Credential{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil {
		s.made = map[credentialKey]madeCredential{}
	}
	s.made[key] = madeCredential{reader.UID, reader.ResourceVersion, c}
	return c, nil
}

// forget drops what was made of a Secret that is gone.
func (s *credentials) forget(key credentialKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, key)
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
	c := Credential{Peer: peer, Kubeconfig: raw, Token: bytes.Clone(reader.Data[tokenKey])}
	c.identity, c.isReadable = Identity(peer, raw)
	return c, err
}
