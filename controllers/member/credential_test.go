package member

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/credential"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const day = 24 * time.Hour

func TestJudgeCredential(t *testing.T) {
	lasting := func(since, left time.Duration) fleet.Lifetime {
		return fleet.Lifetime{NotBefore: testutil.Now.Add(-since), NotAfter: testutil.Now.Add(left)}
	}
	undated := func(left time.Duration) fleet.Lifetime { return fleet.Lifetime{NotAfter: testutil.Now.Add(left)} }
	cases := map[string]struct {
		lifetime   fleet.Lifetime
		wantReason string
		wantAfter  time.Duration
		renewal    credential.State
	}{
		"renewed automatically, an hour": {lasting(0, time.Hour), meshv1alpha1.ReasonReady, 40 * time.Minute,
			credential.State{IsAutomatic: true, Due: testutil.Now.Add(40 * time.Minute)}},
		"its renewal is due": {lasting(50*time.Minute, 10*time.Minute), meshv1alpha1.ReasonReady, credentialRetry,
			credential.State{IsAutomatic: true, Due: testutil.Now}},
		"it could not be renewed": {lasting(250*day, 115*day), meshv1alpha1.ReasonCredentialNotRenewed, credentialRetry,
			credential.State{IsAutomatic: true, Due: testutil.Now, Problem: "forbidden"}},
		"it has ended before it was renewed": {lasting(day, -time.Hour), meshv1alpha1.ReasonCredentialExpired, 0,
			credential.State{IsAutomatic: true, Due: testutil.Now, Problem: "forbidden"}},
		"Cluster API writes a token of 15 minutes, one is left": {lasting(14*time.Minute, time.Minute), meshv1alpha1.ReasonReady, time.Minute,
			credential.State{Cluster: "east"}},
		"Cluster API has not renewed it": {lasting(day, -time.Minute), meshv1alpha1.ReasonCredentialExpired, 0, credential.State{Cluster: "east"}},
		"Cluster API has not renewed a certificate of a year": {lasting(358*day, 7*day), meshv1alpha1.ReasonCredentialExpiring, outcome.ExpiryRecheck,
			credential.State{Cluster: "east"}},
		"one without an expiry":                          {fleet.Lifetime{}, meshv1alpha1.ReasonReady, 0, credential.State{}},
		"a year, just made":                              {lasting(0, 365*day), meshv1alpha1.ReasonReady, outcome.ExpiryRecheck, credential.State{}},
		"a year, eight days left":                        {lasting(357*day, 8*day), meshv1alpha1.ReasonReady, day, credential.State{}},
		"a year, seven days left":                        {lasting(358*day, 7*day), meshv1alpha1.ReasonCredentialExpiring, outcome.ExpiryRecheck, credential.State{}},
		"a year, an hour left":                           {lasting(365*day, time.Hour), meshv1alpha1.ReasonCredentialExpiring, time.Hour, credential.State{}},
		"a day, a quarter left":                          {lasting(18*time.Hour, 6*time.Hour), meshv1alpha1.ReasonReady, 72 * time.Minute, credential.State{}},
		"a day, a fifth left":                            {lasting(day*4/5, day/5), meshv1alpha1.ReasonCredentialExpiring, day / 5, credential.State{}},
		"an hour, just made":                             {lasting(0, time.Hour), meshv1alpha1.ReasonCredentialShortLived, 48 * time.Minute, credential.State{}},
		"an hour, ten minutes left":                      {lasting(50*time.Minute, 10*time.Minute), meshv1alpha1.ReasonCredentialExpiring, 10 * time.Minute, credential.State{}},
		"it ends now":                                    {lasting(day, 0), meshv1alpha1.ReasonCredentialExpired, 0, credential.State{}},
		"it ended":                                       {lasting(2*day, -day), meshv1alpha1.ReasonCredentialExpired, 0, credential.State{}},
		"it does not contain its start, eight days left": {undated(8 * day), meshv1alpha1.ReasonReady, day, credential.State{}},
		"it does not contain its start, an hour left":    {undated(time.Hour), meshv1alpha1.ReasonCredentialExpiring, time.Hour, credential.State{}},
		"the next look is not at once":                   {lasting(day, time.Millisecond), meshv1alpha1.ReasonCredentialExpiring, outcome.ShortWait, credential.State{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := judgeCredential(c.lifetime, c.renewal, testutil.Now)
			if got.Reason != c.wantReason || got.After != c.wantAfter {
				t.Errorf("reason %s, again after %s, want %s, %s (%s)", got.Reason, got.After, c.wantReason, c.wantAfter, got.Text())
			}
			if isReady := got.Reason == meshv1alpha1.ReasonReady; (got.Kind == phase.Done) != isReady || (got.Kind == phase.Wait) == isReady {
				t.Errorf("kind is %s", got.Kind)
			}
			if later := judgeCredential(c.lifetime, c.renewal, testutil.Now.Add(time.Microsecond)); later.Reason == got.Reason && later.Text() != got.Text() {
				t.Errorf("the text changes with the time: %q, %q", got.Text(), later.Text())
			}
		})
	}
}

// lifetimes is a fleet whose members are not connected and whose credentials have a lifetime.
type lifetimes struct {
	Fleet
	state fleet.State
}

func (l lifetimes) Ensure(types.NamespacedName, fleet.Source) error { return nil }

func (l lifetimes) State(types.NamespacedName) (fleet.State, bool) { return l.state, true }

func (l lifetimes) Connection(types.NamespacedName) (*fleet.Connection, error) {
	return nil, errors.New(l.state.Message)
}

// TestConnectReportsTheCredential wants the expiry in the status, and a condition on which Ready does not depend, also while the member
// cannot be reached.
func TestConnectReportsTheCredential(t *testing.T) {
	expired := fleet.Lifetime{NotBefore: testutil.Now.Add(-day), NotAfter: testutil.Now.Add(-time.Hour)}
	r := &Reconciler{Options: Options{Fleet: lifetimes{state: fleet.State{
		Phase: fleet.Down, Reason: meshv1alpha1.ReasonUnauthorized, Message: "refused", Credential: expired}}}}
	m := testutil.Member("east")
	m.Spec.ClusterRef.KubeconfigSecret = &meshv1alpha1.SecretKeyRef{Name: "east-kubeconfig", Key: "value"}
	secret := kubeconfigSecret("east-kubeconfig")
	r.Client = testutil.HubClient(t, secret)
	r.credentials = &credential.Renewer{Hub: r.Client}
	pass := &member.Pass{Object: m, Now: testutil.Now}
	result := r.connect(t.Context(), pass)
	if result.Reason != meshv1alpha1.ReasonUnauthorized {
		t.Fatalf("result is %+v", result)
	}
	if m.Status.CredentialExpires == nil || !m.Status.CredentialExpires.Time.Equal(expired.NotAfter) {
		t.Errorf("the status has the expiry %v", m.Status.CredentialExpires)
	}
	status.Set(&m.Status.Conditions, 1, pass.Aside, testutil.Now)
	c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionCredentialCurrent)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != meshv1alpha1.ReasonCredentialExpired ||
		!strings.Contains(c.Message, `Secret "east-kubeconfig" expired at 2026-03-01T11:00:00Z`) {
		t.Errorf("condition is %+v", c)
	}
	if !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReady) {
		t.Error("Ready depends on it")
	}
	r.Fleet = lifetimes{state: fleet.State{Phase: fleet.Down, Reason: meshv1alpha1.ReasonUnauthorized, Message: "refused"}}
	if r.connect(t.Context(), &member.Pass{Object: m, Now: testutil.Now}); m.Status.CredentialExpires != nil {
		t.Errorf("a credential without an expiry: the status has %v", m.Status.CredentialExpires)
	}
}

func kubeconfigSecret(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: testutil.Namespace, Name: name}, Data: map[string][]byte{"value": []byte("a kubeconfig")}}
}
