// Package discovery lets every member's istiod read its peers: a short-lived token of each member's reader account,
// kept on the hub, and in each peer a remote secret that never changes with it, a file with the token, and an object by
// which peers see that they receive what is new.
package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
)

const (
	// readerAccount is the base chart's account that istiod of peers uses.
	readerAccount = "istio-reader-service-account"
	// defaultTokenLife is what is asked for where the work order says nothing; the API server may grant less.
	defaultTokenLife = 7 * 24 * time.Hour

	kubeconfigKey     = "kubeconfig"
	tokenKey          = "token"
	expiryAnnotation  = "mesh.meshfleet.io/token-expires"
	renewAnnotation   = "mesh.meshfleet.io/token-renew-at"
	accountAnnotation = "mesh.meshfleet.io/account-uid"
)

// ErrNoReader is the error while the member has no reader account yet.
var ErrNoReader = errors.New("the member has no istio-reader-service-account yet")

// Reader is the state of a member's reader credential.
type Reader struct {
	// Expires is the end of the token's life.
	Expires time.Time
	// RenewAt is when a new token is due: between 50 and 60 per cent of its life, at a point of its own for each member.
	RenewAt time.Time
	// Minted is true when this call wrote a new token. Replaced is true when the API server did not accept the former one any more.
	Minted, Replaced bool
	// Token is the token.
	Token string
}

// ReaderRequest identifies the credential to keep, and where.
type ReaderRequest struct {
	// Member is the work order.
	Member *meshv1alpha1.MeshMember
	// SecretName is the hub Secret to keep.
	SecretName string
	// Rejected is a token that the API server does not accept: it is replaced at once.
	Rejected string
	Endpoint
}

// Endpoint is how peers reach the API server of a member.
type Endpoint struct {
	// Server is its URL.
	Server string
	// ServerName is the name that its certificate must have. Empty: the host of Server.
	ServerName string
	// CA are the authorities that sign its certificate, PEM.
	CA []byte
}

// endpointOf is the endpoint that the work order names, or else that of the hub's connection. The name in the certificate belongs to the
// server of the connection.
func endpointOf(spec *meshv1alpha1.MeshMemberSpec, st fleet.State) Endpoint {
	out := Endpoint{Server: st.Server, ServerName: st.ServerName, CA: st.CAData}
	if spec.APIServer != "" && spec.APIServer != st.Server {
		out.Server, out.ServerName = spec.APIServer, ""
	}
	if spec.APIServerCA != "" {
		out.CA = []byte(spec.APIServerCA)
	}
	return out
}

// EnsureReader keeps how peers reach the member, and a fresh reader token, in a hub Secret. The old token stays valid until its
// own end, so that peers change over without a gap. A token of an account that was deleted and made again is worthless, so that
// a new one is made. Error: ErrNoReader before the base chart is applied.
func EnsureReader(ctx context.Context, hub, member client.Client, r ReaderRequest, now time.Time) (Reader, error) {
	secret := &corev1.Secret{}
	err := hub.Get(ctx, client.ObjectKey{Namespace: r.Member.Namespace, Name: r.SecretName}, secret)
	if client.IgnoreNotFound(err) != nil {
		return Reader{}, fmt.Errorf("read Secret %q: %w", r.SecretName, err)
	}
	if err == nil && !r.isOurs(secret) {
		return Reader{}, fmt.Errorf("hub Secret %q: %w", r.SecretName, apply.ErrConflict)
	}
	account := &metav1.PartialObjectMetadata{}
	account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	key := client.ObjectKey{Namespace: r.Member.Spec.ControlPlaneNamespace, Name: readerAccount}
	if err := member.Get(ctx, key, account); apierrors.IsNotFound(err) {
		return Reader{}, ErrNoReader
	} else if err != nil {
		return Reader{}, fmt.Errorf("read ServiceAccount %q: %w", readerAccount, err)
	}
	if state, ok := r.current(secret, now); err == nil && ok && !r.isDead(secret, account.UID) {
		return state, nil
	}
	return r.renew(ctx, hub, member, secret, account, now)
}

// isDead is true for a token that the API server does not accept any more: its account was deleted and made again, or it was rejected.
func (r ReaderRequest) isDead(s *corev1.Secret, account types.UID) bool {
	token, of := string(s.Data[tokenKey]), s.Annotations[accountAnnotation]
	return token != "" && (of != string(account) || token == r.Rejected)
}

// renew makes a new token and writes it.
func (r ReaderRequest) renew(
	ctx context.Context, hub, member client.Client, secret *corev1.Secret, account *metav1.PartialObjectMetadata, now time.Time,
) (Reader, error) {
	life := defaultTokenLife
	if d := r.Member.Spec.ReaderTokenDuration; d != nil && d.Duration > 0 {
		life = d.Duration
	}
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(life.Seconds()))}}
	of := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account.Name, Namespace: account.Namespace}}
	if err := member.SubResource("token").Create(ctx, of, token); err != nil {
		if apierrors.IsNotFound(err) {
			return Reader{}, ErrNoReader
		}
		return Reader{}, fmt.Errorf("request a token for ServiceAccount %q: %w", readerAccount, err)
	}
	kubeconfig, err := kubeconfig(r.Member.Spec.Cluster, r.Endpoint, clientcmdapi.AuthInfo{})
	if err != nil {
		return Reader{}, err
	}
	expires := token.Status.ExpirationTimestamp.Time
	granted := expires.Sub(now)
	state := Reader{
		Expires: expires, RenewAt: now.Add(granted/2 + jitter(r.Member.Spec.Cluster, granted/10)),
		Minted: true, Replaced: r.isDead(secret, account.UID), Token: token.Status.Token,
	}
	secret.Data = map[string][]byte{kubeconfigKey: kubeconfig, tokenKey: []byte(token.Status.Token)}
	return state, r.write(ctx, hub, secret, state, string(account.UID))
}

// jitter is a part of the span that is the same for a name each time, so that the tokens of a fleet are not renewed together.
func jitter(name string, span time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return span * time.Duration(h.Sum32()%1000) / 1000
}

// isOurs is true when the Secret was made for the member: its name alone could also be that of a user's own.
func (r ReaderRequest) isOurs(s *corev1.Secret) bool {
	return s.Labels[meshv1alpha1.LabelInstallation] == r.Member.Spec.Installation && s.Labels[meshv1alpha1.LabelMember] == r.Member.Spec.Cluster
}

// current is true when the credential in the Secret still does: peers reach the member by it, and its time for renewal has not come.
func (r ReaderRequest) current(s *corev1.Secret, now time.Time) (Reader, bool) {
	expires, errExpires := time.Parse(time.RFC3339, s.Annotations[expiryAnnotation])
	renew, errRenew := time.Parse(time.RFC3339, s.Annotations[renewAnnotation])
	if errExpires != nil || errRenew != nil || len(s.Data[tokenKey]) == 0 {
		return Reader{}, false
	}
	config, err := clientcmd.Load(s.Data[kubeconfigKey])
	if err != nil {
		return Reader{}, false
	}
	leads := config.Clusters[r.Member.Spec.Cluster]
	ok := leads != nil && leads.Server == r.Server && leads.TLSServerName == r.ServerName && bytes.Equal(leads.CertificateAuthorityData, r.CA) && now.Before(renew)
	return Reader{Expires: expires, RenewAt: renew, Token: string(s.Data[tokenKey])}, ok
}

// write writes the Secret with its data, which goes with the installation: a MeshMember that is made again keeps it.
func (r ReaderRequest) write(ctx context.Context, hub client.Client, secret *corev1.Secret, state Reader, account string) error {
	missing := secret.ResourceVersion == ""
	secret.Name, secret.Namespace = r.SecretName, r.Member.Namespace
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
		expiryAnnotation:  state.Expires.UTC().Format(time.RFC3339),
		renewAnnotation:   state.RenewAt.UTC().Format(time.RFC3339),
		accountAnnotation: account,
	})
	secret.OwnerReferences = nil
	if owner := metav1.GetControllerOf(r.Member); owner != nil {
		secret.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	write := hub.Update
	if missing {
		write = func(ctx context.Context, o client.Object, _ ...client.UpdateOption) error { return hub.Create(ctx, o) }
	}
	if err := write(ctx, secret); err != nil {
		return fmt.Errorf("write Secret %q: %w", r.SecretName, err)
	}
	return nil
}

// kubeconfig has one cluster, user and context, all named like the member, as istiod wants it. For the same arguments its bytes never
// change: see remoteSecrets.
func kubeconfig(cluster string, e Endpoint, user clientcmdapi.AuthInfo) ([]byte, error) {
	c := clientcmdapi.NewConfig()
	c.Clusters[cluster] = &clientcmdapi.Cluster{Server: e.Server, TLSServerName: e.ServerName, CertificateAuthorityData: e.CA}
	c.AuthInfos[cluster] = &user
	c.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: cluster}
	c.CurrentContext = cluster
	out, err := clientcmd.Write(*c)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %q: %w", cluster, err)
	}
	return out, nil
}
