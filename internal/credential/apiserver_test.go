package credential

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestRenewAtAnAPIServer renews the credential of config/member-rbac at an API server that grants an hour at most, whatever is asked. Without
// the Role it is told what is missing.
func TestRenewAtAnAPIServer(t *testing.T) {
	admin, config := testutil.StartMemberServer(t, map[string]string{"service-account-max-token-expiration": "1h"})
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "meshfleet-member", Name: "meshfleet-member"}}
	year := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64((8760 * time.Hour).Seconds()))}}
	testutil.Must(t, admin.SubResource("token").Create(t.Context(), sa, year))
	before := year.Status.Token
	claims := fleet.ReadToken(before)
	if life := claims.NotAfter.Sub(claims.NotBefore); claims.Subject != account || life != time.Hour {
		t.Fatalf("asked for a year, granted is a token of %s for %s", claims.Subject, life)
	}
	kubeconfig, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "member",
		"clusters": []any{map[string]any{"name": "member", "cluster": map[string]any{"server": config.Host}}},
		"contexts": []any{map[string]any{"name": "member", "context": map[string]any{"cluster": "member", "user": "operator"}}},
		"users":    []any{map[string]any{"name": "operator", "user": map[string]any{"token": before}}},
	})
	testutil.Must(t, err)
	config.BearerToken = before
	// renew is a first pass over the member as if forty minutes had passed.
	renew := func(ctx context.Context) (client.Client, State, error) {
		hub, r, _ := renewing(t, &cluster{t: t}, kubeconfig, "true")
		r.WhoIs = WhoIs
		state, err := r.Renew(ctx, passOver(t, config, claims.NotBefore.Add(40*time.Minute)))
		return hub, state, err
	}
	// Tokens end at a full second, the next one perhaps at the same.
	var hub client.Client
	var state State
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		hub, state, err = renew(ctx)
		return state.Problem == "", err
	}); err != nil || !state.IsAutomatic {
		t.Fatalf("state is %+v, %v", state, err)
	}
	renewed, err := readToken(stored(t, hub).Data["value"])
	testutil.Must(t, err)
	if renewed.text == before || !renewed.claims.NotAfter.After(claims.NotAfter) {
		t.Errorf("the token ends at %s, as before", renewed.claims.NotAfter)
	}
	if user, err := WhoIs(t.Context(), config, renewed.text); err != nil || user != account {
		t.Errorf("the API server takes the token for %q, %v", user, err)
	}
	if user, err := WhoIs(t.Context(), config, "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"); err == nil {
		t.Errorf("a token that is none is one of %q", user)
	}

	testutil.Must(t, admin.Delete(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "meshfleet-member", Name: "meshfleet-member-renewal"}}))
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		_, state, err = renew(ctx)
		return strings.Contains(state.Problem, "the account meshfleet-member/meshfleet-member may not create tokens of its own: apply config/member-rbac"), err
	}); err != nil {
		t.Errorf("without the Role the state is %+v, %v", state, err)
	}
}

// passOver is a pass at a time over a member that a configuration leads to.
func passOver(t *testing.T, config *rest.Config, now time.Time) *member.Pass {
	t.Helper()
	c, err := client.New(config, client.Options{})
	testutil.Must(t, err)
	m := testutil.Member("east")
	m.Spec.ClusterRef = meshv1alpha1.ClusterRef{KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: "east-kubeconfig", Key: "value"}}
	pass := &member.Pass{Object: m, Now: now}
	pass.Attach(member.NewState(&fleet.Connection{Client: c, Config: config}, apply.New(c, c, apply.Owner{})))
	return pass
}
