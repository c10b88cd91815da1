package trust

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// signers answer for istiod pods, by name.
type signers struct {
	ends  map[string]time.Time
	err   error
	asked int
}

func (s *signers) SigningEnd(_ context.Context, _ *rest.Config, _, pod string) (time.Time, error) {
	s.asked++
	return s.ends[pod], s.err
}

// TestIntermediateInForce looks at a member again after some time, as often as the results ask for.
func TestIntermediateInForce(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	renewed := issue(t, "east", ecdsaKey(t), root, lasting(-time.Hour, 60*24*time.Hour))
	end := renewed.cert.NotAfter
	old, older := end.Add(-30*24*time.Hour), end.Add(-31*24*time.Hour)
	cases := map[string]struct {
		a, b, external time.Time
		err            error
		after          time.Duration
		wantKind       phase.Kind
		wantText       string
		wantRestart    bool
		wantInForce    time.Time
		wantLooks      int
	}{
		"both istiods sign with it":        {a: end, b: end, after: time.Hour, wantText: "istiod hands out root", wantInForce: end, wantLooks: 7},
		"kubelet has time":                 {a: end, b: old, after: signingDeadline - time.Second, wantText: "it is taken over within minutes", wantInForce: old, wantLooks: 15},
		"one has not taken it over":        {a: end, b: old, after: signingDeadline, wantKind: phase.Wait, wantText: "in b; Secret istio-system/cacerts has the one that expires at 2026-04-30T12:00:00Z", wantRestart: true, wantInForce: old, wantLooks: 16},
		"the earlier end counts":           {a: older, b: old, after: signingDeadline, wantKind: phase.Wait, wantText: "expires at 2026-03-30T12:00:00Z in a, b;", wantRestart: true, wantInForce: older, wantLooks: 16},
		"one that signs with a longer one": {a: end, b: end.Add(time.Hour), after: signingDeadline, wantKind: phase.Wait, wantText: "in b;", wantRestart: true, wantInForce: end, wantLooks: 16},
		"no restart has helped":            {a: end, b: old, after: signingDeadline + plan.RestartDeadline, wantKind: phase.Retry, wantText: "still waiting", wantRestart: true, wantInForce: old, wantLooks: 61},
		"no istiod signs":                  {after: time.Hour, wantText: "istiod hands out root", wantLooks: 7},
		"istiod does not answer":           {err: errors.New("no route"), wantKind: phase.Retry, wantText: "ask istiod pod a", wantLooks: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			i := &signers{ends: map[string]time.Time{"a": c.a, "b": c.b}, err: c.err}
			s, m := &Steps{Istiod: i}, testutil.Member("east")
			revision := m.Spec.DefaultRevision
			remote := fake.NewClientBuilder().WithObjects(membertest.IstiodPod("a", revision), membertest.IstiodPod("b", revision), published(root),
				inMember(map[string][]byte{"root-cert.pem": text(root), "cert-chain.pem": text(renewed)}, installation)).Build()
			passAt := membertest.Passes(t, m, remote)
			pass := passAt(testutil.Now)
			got, looks := s.inForce(t.Context(), pass), 1
			for at := got.After; at > 0 && at <= c.after; at += got.After {
				pass = passAt(testutil.Now.Add(at))
				got = s.inForce(t.Context(), pass)
				looks++
			}
			if c.after == signingDeadline-time.Second {
				pass = passAt(testutil.Now.Add(c.after))
				got = s.inForce(t.Context(), pass)
			}
			if got.Kind != c.wantKind || !strings.Contains(got.Text(), c.wantText) {
				t.Errorf("result is %s: %s; want %s with %q", got.Kind, got.Text(), c.wantKind, c.wantText)
			}
			if got.Kind != phase.Done && !got.Passable {
				t.Error("the pass ends, although the old intermediate is still valid")
			}
			need := pass.RestartNeeded()
			if (need != nil) != c.wantRestart || need != nil && need.Reason != meshv1alpha1.ReasonIntermediateNotInForce {
				t.Errorf("a restart is needed: %+v, want one: %v", need, c.wantRestart)
			}
			if inForce := m.Status.Trust.IntermediateInForceNotAfter; c.wantInForce.IsZero() != (inForce == nil) || inForce != nil && !inForce.Time.Equal(c.wantInForce) {
				t.Errorf("in force is %v, want %v", inForce, c.wantInForce)
			}
			if looks != c.wantLooks {
				t.Errorf("%d looks within %s, want %d", looks, c.after, c.wantLooks)
			}
		})
	}
}

// TestIstiodIsNotAskedInEachPass wants an event to cost no question when nothing is pending, and a renewal to be asked about at once.
func TestIstiodIsNotAskedInEachPass(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	first := issue(t, "east", ecdsaKey(t), root)
	i := &signers{ends: map[string]time.Time{"a": first.cert.NotAfter}}
	s, m := &Steps{Istiod: i}, testutil.Member("east")
	cacerts := inMember(map[string][]byte{"root-cert.pem": text(root), "cert-chain.pem": text(first)}, installation)
	remote := fake.NewClientBuilder().WithObjects(membertest.IstiodPod("a", m.Spec.DefaultRevision), published(root), cacerts).Build()
	passAt := membertest.Passes(t, m, remote)
	for second := range 500 {
		if got := s.inForce(t.Context(), passAt(testutil.Now.Add(time.Duration(second)*time.Second))); got.Kind != phase.Done {
			t.Fatalf("result is %+v", got)
		}
	}
	if i.asked != 1 {
		t.Errorf("asked %d times in 500 passes within %s", i.asked, signingRecheck)
	}
	renewed := issue(t, "east", ecdsaKey(t), root, lasting(0, 1000*time.Hour))
	cacerts.Data["cert-chain.pem"] = text(renewed)
	testutil.Must(t, remote.Update(t.Context(), cacerts))
	s.inForce(t.Context(), passAt(testutil.Now.Add(500*time.Second)))
	if i.asked != 2 {
		t.Errorf("asked %d times after a renewal, want 2", i.asked)
	}
}

// TestRenewedIntermediateWaits wants no istiod to get an intermediate that is not valid yet by a clock that is behind: it would refuse it for good.
func TestRenewedIntermediateWaits(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	present := issue(t, "east", ecdsaKey(t), root, lasting(-60*24*time.Hour, 30*24*time.Hour))
	ending := issue(t, "east", ecdsaKey(t), root, lasting(-60*24*time.Hour, clockSkew))
	beginning := func(ago time.Duration) *authority {
		return issue(t, "east", ecdsaKey(t), root, lasting(-ago, 90*24*time.Hour))
	}
	fresh := beginning(0)
	cases := map[string]struct {
		present, issued *authority
		want            *authority
		wantAfter       time.Duration
	}{
		"one that begins now waits":                    {present: present, issued: fresh, want: present, wantAfter: clockSkew},
		"one that begins in a moment waits longer":     {present: present, issued: beginning(-time.Minute), want: present, wantAfter: clockSkew + time.Minute},
		"then it is written":                           {present: present, issued: beginning(clockSkew)},
		"a member without one gets it at once":         {issued: fresh},
		"what was written stays, and is kept as it is": {present: fresh, issued: fresh},
		"one that is about to end is replaced at once": {present: ending, issued: fresh},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			remote := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}}
			if c.present != nil {
				remote = append(remote, inMember(map[string][]byte{"root-cert.pem": text(root), "cert-chain.pem": text(c.present)}, installation))
			}
			pass := membertest.Pass(t, testutil.Member("east"), remote...)
			issued := secret(text(c.issued), keyText(t, c.issued), text(root))
			issued.Name, issued.Namespace = "shop-east-ca", testutil.Namespace
			pass.Hub, pass.Object.Spec.PinnedRoot = testutil.HubClient(t, issued), []string{fingerprint(root.cert)}
			got := cacerts(t.Context(), pass)
			if got.Kind != phase.Done || got.After != c.wantAfter {
				t.Errorf("result is %s after %s: %s; want done after %s", got.Kind, got.After, got.Text(), c.wantAfter)
			}
			if end := pass.Object.Status.Trust.IntermediateNotAfter; end == nil || !end.Time.Equal(c.issued.cert.NotAfter) {
				t.Errorf("the status has the end %v, want that of what was issued", end)
			}
			if c.want == nil {
				c.want = c.issued
			}
			have := &corev1.Secret{}
			testutil.Must(t, pass.Remote.Get(t.Context(), client.ObjectKey{Namespace: testutil.ControlPlane, Name: cacertsName}, have))
			if got := string(have.Data["cert-chain.pem"]); got != string(text(c.want)) {
				t.Error("the member has the other certificate")
			}
		})
	}
}
