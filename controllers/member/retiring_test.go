package member

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const formerRevision = "1-28-3"

// leaving is a member whose work order no longer names a revision that is still installed.
type leaving struct {
	t *testing.T
	s *scope
	r *Reconciler
}

func newLeaving(t *testing.T, objects ...client.Object) *leaving {
	inventory := &corev1.ConfigMap{ObjectMeta: inControlPlane("meshfleet-inventory-istiod-" + formerRevision)}
	s := pass(append(objects, inventory)...)
	inventory.Labels = map[string]string{meshv1alpha1.LabelInstallation: s.owner()}
	if err := s.remote.Update(t.Context(), inventory); err != nil {
		t.Fatal(err)
	}
	s.state = &memberState{connection: &fleet.Member{}, applier: apply.New(s.remote, s.remote, apply.Owner{
		Installation: s.owner(), Namespace: s.namespace(),
	})}
	s.member.Status.Revisions = []meshv1alpha1.RevisionStatus{
		{Name: formerRevision, Version: "1.28.3", Hash: "0123456789"}, {Name: testutil.Revision, Version: testutil.Version},
	}
	return &leaving{t: t, s: s, r: &Reconciler{Client: testutil.HubClient(t), Istiod: &playedIstiod{}}}
}

// passAfter is another pass over the member.
func (l *leaving) passAfter(d time.Duration) []meshv1alpha1.RetiringRevision {
	l.t.Helper()
	l.s.now, l.s.users = l.s.now.Add(d), nil
	if err := l.r.retireRevisions(l.t.Context(), l.s, map[string]bool{"istiod-" + testutil.Revision: true}); err != nil {
		l.t.Fatal(err)
	}
	l.s.member.Status.Revisions = l.s.member.Status.Revisions[len(l.s.member.Status.Revisions)-1:]
	return l.s.member.Status.Retiring
}

func barePod(revision string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "bare", Annotations: map[string]string{
		"istio.io/rev": revision, "sidecar.istio.io/status": "{}"}}}
}

// TestARevisionStaysWhileItIsUsed wants it in the status, with what is known of it, and gone when nothing uses it. Who uses it
// is asked the less often the longer that lasts.
func TestARevisionStaysWhileItIsUsed(t *testing.T) {
	bare := barePod(formerRevision)
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
	if note, after := retiringNote(l.s); after != retireSlowest || !strings.Contains(note, "retiring 1-28-3, used by demo/bare") {
		t.Errorf("note %q, asked again after %s", note, after)
	}
	l.s.member.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: meshv1alpha1.StageRetire, From: formerRevision}
	if state, message := retired(l.s, formerRevision); state != meshv1alpha1.StageInconclusive || !strings.Contains(message, "demo/bare") {
		t.Errorf("the stage is %s: %s", state, message)
	}
	if err := l.s.remote.Delete(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	if got := l.passAfter(retireSlowest - time.Second); len(got) != 1 {
		t.Errorf("asked again before it was time to: %+v", got)
	}
	if got := l.passAfter(time.Second); len(got) > 0 {
		t.Errorf("with nothing that uses it: %+v", got)
	}
	if state, _ := retired(l.s, formerRevision); state != meshv1alpha1.StageDone {
		t.Errorf("the stage is %s after the removal", state)
	}
	if note, after := retiringNote(l.s); note != "" || after != 0 {
		t.Errorf("note %q, asked again after %s", note, after)
	}
}

// TestATagKeepsItsRevision wants a revision to stay while a tag points at it: pods would be refused, or get no proxy.
func TestATagKeepsItsRevision(t *testing.T) {
	l := newLeaving(t, &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{
		Name: "istio-revision-tag-prod", Labels: map[string]string{
			meshv1alpha1.LabelInstallation: pass().owner(), controlplane.TagLabel: "prod", "istio.io/rev": formerRevision,
		},
	}})
	got := l.passAfter(0)
	if len(got) != 1 || !cmp.Equal(got[0].Users.Names, []string{"tag prod"}) {
		t.Errorf("retiring: %+v, want it kept by the tag", got)
	}
}

func TestRetirePace(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0: gatePace, 20 * time.Second: gatePace, time.Minute: 6 * time.Second, 10 * time.Minute: time.Minute, 24 * time.Hour: time.Minute,
	} {
		if got := retirePace(waited); got != want {
			t.Errorf("after %s it is asked every %s, want %s", waited, got, want)
		}
	}
}

// TestFurthest wants the time of a stage's progress to change only when it has come further than ever.
func TestFurthest(t *testing.T) {
	at := func(minute int) time.Time { return testutil.Now.Add(time.Duration(minute) * time.Minute) }
	st := &meshv1alpha1.MemberRolloutStatus{Stage: meshv1alpha1.StageWorkloads}
	for i, step := range []struct {
		moved, pods int32
		want        int
	}{{0, 0, -1}, {0, 1, 1}, {0, 1, 1}, {1, 3, 3}, {0, 2, 3}, {1, 3, 3}, {1, 4, 6}, {2, 4, 7}} {
		st.Workloads.Moved, st.Workloads.MovedPods = step.moved, step.pods
		st.Progress = furthest(st, 9, at(i))
		got := -1
		if st.Progress.At != nil {
			got = int(st.Progress.At.Sub(testutil.Now) / time.Minute)
		}
		if got != step.want {
			t.Errorf("step %d: progress at minute %d, want %d", i, got, step.want)
		}
	}
	gateways := &meshv1alpha1.MemberRolloutStatus{Stage: meshv1alpha1.StageGateways, Workloads: meshv1alpha1.WorkloadCounts{Moved: 5}}
	want := meshv1alpha1.StageProgress{At: &metav1.Time{Time: testutil.Now}, GatewayStep: stepWithdrawn}
	if diff := cmp.Diff(want, furthest(gateways, stepWithdrawn, testutil.Now)); diff != "" {
		t.Errorf("progress of the gateway (-want +got):\n%s", diff)
	}
}

func TestGatewayStep(t *testing.T) {
	for want, done := range [][]bool{{false, true, true}, {true, false, true}, {true, true, false}, {true, true, true}} {
		if got := gatewayStep(done...); int(got) != want {
			t.Errorf("%v is step %d, want %d", done, got, want)
		}
	}
}
