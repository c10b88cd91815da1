// Package discovery lets every member's istiod read its peers: a short-lived token of each member's reader account,
// kept on the hub, and a remote secret in each peer made from it.
package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
)

const (
	// readerAccount is the base chart's account that istiod of peers uses.
	readerAccount = "istio-reader-service-account"
	// tokenLife is what is asked for; the API server may grant less.
	tokenLife = 7 * 24 * time.Hour

	kubeconfigKey    = "kubeconfig"
	expiryAnnotation = "mesh.meshfleet.io/token-expires"
	renewAnnotation  = "mesh.meshfleet.io/token-renew-at"
)

// ErrNoReader says that the member has no reader account yet.
var ErrNoReader = errors.New("the member has no istio-reader-service-account yet")

// Reader is the state of a member's reader credential.
type Reader struct {
	// Expires is the end of the token's life.
	Expires time.Time
	// RenewAt is when a new token is due: half of its life.
	RenewAt time.Time
	// Minted says that this call wrote a new token.
	Minted bool
}

// ReaderRequest says whose credential to keep, and where.
type ReaderRequest struct {
	// Member is the work order.
	Member *meshv1alpha1.MeshMember
	// SecretName is the hub Secret to keep.
	SecretName string
	// Server and CA are how peers reach the member's API server; CA is PEM.
	Server string
	CA     []byte
}

// EnsureReader keeps a kubeconfig with a fresh reader token of the member in a hub Secret. The old token stays valid
// until its own end, so that peers change over without a gap. Error: ErrNoReader before the base chart is applied.
func EnsureReader(ctx context.Context, hub, member client.Client, r ReaderRequest, now time.Time) (Reader, error) {
	secret := &corev1.Secret{}
	err := hub.Get(ctx, client.ObjectKey{Namespace: r.Member.Namespace, Name: r.SecretName}, secret)
	if client.IgnoreNotFound(err) != nil {
		return Reader{}, fmt.Errorf("read Secret %q: %w", r.SecretName, err)
	}
	if err == nil && !r.isOurs(secret) {
		return Reader{}, fmt.Errorf("hub Secret %q: %w", r.SecretName, apply.ErrConflict)
	}
	if state, ok := current(secret, r, now); err == nil && ok {
		return state, nil
	}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(tokenLife.Seconds()))}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: readerAccount, Namespace: r.Member.Spec.ControlPlaneNamespace}}
	if err := member.SubResource("token").Create(ctx, account, token); err != nil {
		if apierrors.IsNotFound(err) {
			return Reader{}, ErrNoReader
		}
		return Reader{}, fmt.Errorf("request a token for ServiceAccount %q: %w", readerAccount, err)
	}
	kubeconfig, err := kubeconfig(r.Member.Spec.Cluster, r.Server, r.CA, token.Status.Token)
	if err != nil {
		return Reader{}, err
	}
	expires := token.Status.ExpirationTimestamp.Time
	state := Reader{Expires: expires, RenewAt: now.Add(expires.Sub(now) / 2), Minted: true}
	return state, write(ctx, hub, r, kubeconfig, state)
}

// isOurs says whether the Secret was made for the member: its name alone could also be that of a user's own.
func (r ReaderRequest) isOurs(s *corev1.Secret) bool {
	return s.Labels[meshv1alpha1.LabelInstallation] == r.Member.Spec.Installation && s.Labels[meshv1alpha1.LabelMember] == r.Member.Spec.Cluster
}

// current says whether the credential in the Secret still does: peers reach the member by it, and it is in the first
// half of its life.
func current(s *corev1.Secret, r ReaderRequest, now time.Time) (Reader, bool) {
	expires, err := time.Parse(time.RFC3339, s.Annotations[expiryAnnotation])
	if err != nil {
		return Reader{}, false
	}
	renew, err := time.Parse(time.RFC3339, s.Annotations[renewAnnotation])
	if err != nil {
		return Reader{}, false
	}
	config, err := clientcmd.Load(s.Data[kubeconfigKey])
	if err != nil {
		return Reader{}, false
	}
	leads := config.Clusters[r.Member.Spec.Cluster]
	ok := leads != nil && leads.Server == r.Server && bytes.Equal(leads.CertificateAuthorityData, r.CA) && now.Before(renew)
	return Reader{Expires: expires, RenewAt: renew}, ok
}

func write(ctx context.Context, hub client.Client, r ReaderRequest, kubeconfig []byte, state Reader) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: r.SecretName, Namespace: r.Member.Namespace}}
	err := hub.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read Secret %q: %w", r.SecretName, err)
	}
	missing := err != nil
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	maps.Copy(secret.Labels, map[string]string{
		meshv1alpha1.LabelInstallation: r.Member.Spec.Installation, meshv1alpha1.LabelMember: r.Member.Spec.Cluster,
	})
	maps.Copy(secret.Annotations, map[string]string{
		expiryAnnotation: state.Expires.UTC().Format(time.RFC3339),
		renewAnnotation:  state.RenewAt.UTC().Format(time.RFC3339),
	})
	// The Secret goes with the member.
	secret.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(r.Member, meshv1alpha1.GroupVersion.WithKind("MeshMember"))}
	secret.Data = map[string][]byte{kubeconfigKey: kubeconfig}
	if missing {
		err = hub.Create(ctx, secret)
	} else {
		err = hub.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("write Secret %q: %w", r.SecretName, err)
	}
	return nil
}

// kubeconfig has one cluster, user and context, all named like the member, as istiod wants it.
func kubeconfig(cluster, server string, ca []byte, token string) ([]byte, error) {
	c := clientcmdapi.NewConfig()
	c.Clusters[cluster] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	c.AuthInfos[cluster] = &clientcmdapi.AuthInfo{Token: token}
	c.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: cluster}
	c.CurrentContext = cluster
	out, err := clientcmd.Write(*c)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %q: %w", cluster, err)
	}
	return out, nil
}
