package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestSilence asks a person only about those who have not answered for as long as a gate may be unable to tell.
func TestSilence(t *testing.T) {
	for name, test := range map[string]struct {
		state meshv1alpha1.StageState
		since time.Duration
		want  meshv1alpha1.StageState
	}{
		"at first it is waited for":             {meshv1alpha1.StageProgressing, gate.InconclusiveAfter - time.Second, meshv1alpha1.StageProgressing},
		"then nobody knows":                     {meshv1alpha1.StageProgressing, gate.InconclusiveAfter, meshv1alpha1.StageInconclusive},
		"what is asked about stays asked about": {meshv1alpha1.StageInconclusive, 0, meshv1alpha1.StageInconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			st := &meshv1alpha1.MemberRolloutStatus{State: test.state, Since: metav1.NewTime(testutil.Now.Add(-test.since))}
			if got := silence(st, testutil.Now); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

const formerRevision = "1-28-3"

// leaving is a member whose work order no longer names a revision that is still installed.
type leaving struct {
	t    *testing.T
	s    *Steps
	next func(time.Time) *member.Pass
	// pass is the last one, at testutil.Now before there is any.
	pass *member.Pass
}

func newLeaving(t *testing.T, objects ...client.Object) *leaving {
	t.Helper()
	m := testutil.Member("east")
	m.Status.Revisions = []meshv1alpha1.RevisionStatus{
		{Name: formerRevision, Version: "1.28.3", Hash: "0123456789"}, {Name: testutil.Revision, Version: testutil.Version},
	}
	inventory := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: "meshfleet-inventory-istiod-" + formerRevision, Namespace: testutil.ControlPlane,
		Labels: map[string]string{meshv1alpha1.LabelInstallation: installation},
	}}
	next := membertest.Passes(t, m, fake.NewClientBuilder().WithObjects(append(objects, inventory)...).Build())
	return &leaving{t: t, s: &Steps{Istiod: &membertest.Istiod{}}, next: next, pass: next(testutil.Now)}
}

// passAfter is another pass over the member.
func (l *leaving) passAfter(d time.Duration) []meshv1alpha1.RetiringRevision {
	l.t.Helper()
	l.pass = l.next(l.pass.Now.Add(d))
	testutil.Must(l.t, l.s.retireRevisions(l.t.Context(), l.pass))
	st := &l.pass.Object.Status
	st.Revisions = st.Revisions[len(st.Revisions)-1:]
	return st.Retiring
}

// TestARevisionStaysWhileItIsUsed wants it in the status, with what is known of it, and gone when nothing uses it. Who uses it
// is asked the less often the longer that lasts.
func TestARevisionStaysWhileItIsUsed(t *testing.T) {
	bare := membertest.ProxyPod("demo", "bare", formerRevision)
	l := newLeaving(t, bare)
	since := metav1.NewTime(testutil.Now)
	want := []meshv1alpha1.RetiringRevision{{
		Name: formerRevision, Version: "1.28.3", Hash: "0123456789", Since: since, Users: meshv1alpha1.Sample{Count: 1, Names: []string{"demo/bare"}},
	}}
	for _, d := range []time.Duration{0, time.Second, time.Hour} {
		if diff := cmp.Diff(want, l.passAfter(d)); diff != "" {
			t.Fatalf("retiring after %s (-want +got):\n%s", d, diff)
		}
	}
	if note, after := retiringNote(l.pass.Object, l.pass.Now); after != retireSlowest || !strings.Contains(note, "retiring 1-28-3, used by demo/bare") {
		t.Errorf("note %q, asked again after %s", note, after)
	}
	l.pass.Object.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: meshv1alpha1.StageRetire, From: meshv1alpha1.Revision{Name: formerRevision}}
	if state, message := l.s.Retired(l.pass, formerRevision); state != meshv1alpha1.StageInconclusive || !strings.Contains(message, "demo/bare") {
		t.Errorf("the stage is %s: %s", state, message)
	}
	testutil.Must(t, l.pass.Remote.Delete(t.Context(), bare))
	if got := l.passAfter(retireSlowest - time.Second); len(got) != 1 {
		t.Errorf("asked again before it was time to: %+v", got)
	}
	if got := l.passAfter(time.Second); len(got) > 0 {
		t.Errorf("with nothing that uses it: %+v", got)
	}
	if state, _ := l.s.Retired(l.pass, formerRevision); state != meshv1alpha1.StageDone {
		t.Errorf("the stage is %s after the removal", state)
	}
	if note, after := retiringNote(l.pass.Object, l.pass.Now); note != "" || after != 0 {
		t.Errorf("note %q, asked again after %s", note, after)
	}
}

// TestATagKeepsItsRevision wants a revision to stay while a tag points at it: pods would be refused, or get no proxy.
func TestATagKeepsItsRevision(t *testing.T) {
	l := newLeaving(t, &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{
		Name: "istio-revision-tag-prod", Labels: map[string]string{
			meshv1alpha1.LabelInstallation: installation, TagLabel: "prod", "istio.io/rev": formerRevision,
		},
	}})
	got := l.passAfter(0)
	if len(got) != 1 || !cmp.Equal(got[0].Users.Names, []string{"tag prod"}) {
		t.Errorf("retiring: %+v, want it kept by the tag", got)
	}
}

func TestRetirePace(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0: retireFastest, 20 * time.Second: retireFastest, time.Minute: 6 * time.Second, 10 * time.Minute: time.Minute, 24 * time.Hour: time.Minute,
	} {
		if got := retirePace(waited); got != want {
			t.Errorf("after %s it is asked every %s, want %s", waited, got, want)
		}
	}
}

// TestARevisionDoesNotWaitForLostPods wants it removed, and the pods named with the cure.
func TestARevisionDoesNotWaitForLostPods(t *testing.T) {
	l := newLeaving(t, membertest.ProxyPod("demo", "web", formerRevision, membertest.Leaving(2*time.Minute)))
	if got := l.passAfter(time.Second); len(got) > 0 {
		t.Errorf("kept: %+v", got)
	}
	state, message := l.s.Retired(l.pass, formerRevision)
	want := "revision 1-28-3 is removed; not counted, because they should have stopped more than a minute ago: pods demo/web on node node-1: " +
		"delete the Node if it is gone, or else the pods with --force"
	if state != meshv1alpha1.StageDone || message != want {
		t.Errorf("the stage is %s: %s, want %s", state, message, want)
	}
}
