package credential

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
)

const (
	// renewShare is the part of a token's life that is left when it is renewed: a third.
	renewShare = 3
	// minLife is the shortest lifetime that is asked for. API servers refuse less than 10 minutes.
	minLife = time.Hour
	// Between these two times a renewal that failed is tried again: the more time is left, the later.
	retryFastest, retrySlowest = time.Minute, time.Hour
	// proofTimeout bounds the proof of a new token.
	proofTimeout = 10 * time.Second
)

// retryPace is how often a renewal that failed is tried again while so much of the credential's life is left.
func retryPace(left time.Duration) time.Duration {
	return min(max(left/20, retryFastest), retrySlowest)
}

// Renewer renews tokens in kubeconfigs.
type Renewer struct {
	// Hub reads and writes the Secrets with the kubeconfigs.
	Hub client.Client
	// WhoIs is the user that an API server takes a token for.
	WhoIs func(ctx context.Context, config *rest.Config, token string) (string, error)

	memory member.Memory[renewals]
}

// renewals is what is remembered of a member's credential.
type renewals struct {
	// replaced is the version of the Secret that was replaced last, token is what it got, and at is when.
	replaced, token string
	at              time.Time
	// tried is when the last renewal failed, and problem is why.
	tried   time.Time
	problem string
}

// State is how the renewal of a credential stands.
type State struct {
	// IsAutomatic is true when the Secret asks for renewal.
	IsAutomatic bool
	// Due is when the next renewal is due. Zero: it is not known.
	Due time.Time
	// Problem is why the credential is not renewed, with the cure. Empty: it is, or will be.
	Problem string
	// Cluster is the Cluster of Cluster API whose controllers write the Secret. Empty: they do not.
	Cluster string
}

// clusterOf is the Cluster of Cluster API whose controllers write a Secret, or empty. They renew its credential themselves, and replace what
// others write there.
func clusterOf(secret *corev1.Secret) string {
	if secret.Type != clusterv1.ClusterSecretType {
		return ""
	}
	return secret.Labels[clusterv1.ClusterNameLabel]
}

// Renew renews the credential of the pass's member when two thirds of its life are over, if its Secret asks for that. The new token
// is proved before it is written, and nothing else in the Secret changes. Nothing is renewed before the pass is attached.
func (r *Renewer) Renew(ctx context.Context, pass *member.Pass) (State, error) {
	ref := pass.Object.Spec.ClusterRef.KubeconfigSecret
	if ref == nil {
		return State{}, nil
	}
	secret := &corev1.Secret{}
	if err := r.Hub.Get(ctx, client.ObjectKey{Namespace: pass.Object.Namespace, Name: ref.Name}, secret); err != nil {
		return State{}, client.IgnoreNotFound(err)
	}
	state := State{Cluster: clusterOf(secret)}
	if secret.Annotations[meshv1alpha1.AnnotationRenew] != "true" || pass.Remote == nil {
		return state, nil
	}
	state.IsAutomatic = true
	if state.Cluster != "" {
		state.Problem = fmt.Sprintf("Cluster API writes this Secret for Cluster %q and renews the credential itself: remove the annotation %s",
			state.Cluster, meshv1alpha1.AnnotationRenew)
		return state, nil
	}
	m := r.memory.Of(pass)
	old, err := readToken(secret.Data[ref.Key])
	if err != nil {
		state.Problem = err.Error()
		return state, nil
	}
	life := old.claims.NotAfter.Sub(old.claims.NotBefore)
	state.Due = old.claims.NotAfter.Add(-life / renewShare)
	switch {
	case pass.Now.Before(state.Due), secret.ResourceVersion == m.replaced:
		m.problem = ""
		return state, nil
	case old.text != m.token && pass.Now.Sub(m.at) < life/renewShare:
		state.Problem = fmt.Sprintf("it was renewed at %s, and another client has written the former token again: remove the annotation %s, "+
			"or let that client leave the key %q alone", m.at.UTC().Format(time.RFC3339), meshv1alpha1.AnnotationRenew, ref.Key)
		return state, nil
	case m.problem != "" && pass.Now.Sub(m.tried) < retryPace(old.claims.NotAfter.Sub(pass.Now)):
		state.Problem = m.problem
		return state, nil
	}
	expires, err := r.replace(ctx, pass, secret, ref.Key, old)
	if apierrors.IsConflict(err) {
		return state, nil // the next pass sees the newer Secret
	}
	m.tried, m.problem = pass.Now, ""
	if err != nil {
		m.problem, state.Problem = err.Error(), err.Error()
		return state, nil
	}
	log.FromContext(ctx).Info("Renewed the credential of the member", "Secret", ref.Name, "expires", expires)
	return state, nil
}

// replace gets a new token, proves it, and writes it. What it remembers keeps the next pass from doing so again before the caches follow.
func (r *Renewer) replace(ctx context.Context, pass *member.Pass, secret *corev1.Secret, key string, old userToken) (time.Time, error) {
	life := max(old.claims.NotAfter.Sub(old.claims.NotBefore), minLife)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(life.Seconds()))}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: old.account.Namespace, Name: old.account.Name}}
	if err := pass.Remote.SubResource("token").Create(ctx, account, request); err != nil {
		if apierrors.IsForbidden(err) {
			return time.Time{}, fmt.Errorf("the account %s may not create tokens of its own: apply config/member-rbac of this release of the operator "+
				"in the member, or grant it `create` of serviceaccounts/token", old.account)
		}
		return time.Time{}, fmt.Errorf("request a token of account %s: %w", old.account, err)
	}
	token, expires := request.Status.Token, request.Status.ExpirationTimestamp.Time
	if !expires.After(old.claims.NotAfter) {
		return time.Time{}, fmt.Errorf("the API server grants a token until %s, which is not later than the present one: see its flag "+
			"--service-account-max-token-expiration", expires.UTC().Format(time.RFC3339))
	}
	user, err := r.WhoIs(ctx, pass.Config(), token)
	if err != nil {
		return time.Time{}, fmt.Errorf("prove the new token: %w", err)
	}
	if user != old.claims.Subject {
		return time.Time{}, fmt.Errorf("the API server takes the new token for user %q, not for %q", user, old.claims.Subject)
	}
	kubeconfig, err := withToken(secret.Data[key], old.text, token)
	if err != nil {
		return time.Time{}, err
	}
	changed := secret.DeepCopy()
	changed.Data[key] = kubeconfig
	if err := r.Hub.Patch(ctx, changed, client.MergeFromWithOptions(secret, client.MergeFromWithOptimisticLock{})); err != nil {
		return time.Time{}, fmt.Errorf("write Secret %q: %w", secret.Name, err)
	}
	m := r.memory.Of(pass)
	m.replaced, m.token, m.at = secret.ResourceVersion, token, pass.Now
	return expires, nil
}

// WhoIs asks an API server for the user of a token, by a connection of its own with that token alone.
func WhoIs(ctx context.Context, config *rest.Config, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", fmt.Errorf("make an HTTP client: %w", err)
	}
	// The transport of a configuration with a proxy belongs to this client alone.
	defer httpClient.CloseIdleConnections()
	c, err := client.New(config, client.Options{HTTPClient: httpClient})
	if err != nil {
		return "", fmt.Errorf("make a client: %w", err)
	}
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask for the user of the token: %w", err)
	}
	if review.Status.UserInfo.Username == "" {
		return "", errors.New("the API server does not tell the user of the token")
	}
	return review.Status.UserInfo.Username, nil
}
