package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// moving is a pass over a member whose workloads are to move to 1-29-1.
func moving(stage meshv1alpha1.Stage, change func(*meshv1alpha1.MemberRestart)) *member.Pass {
	return &member.Pass{Now: testutil.Now, Object: testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions = []meshv1alpha1.Revision{{Name: "1-28-3"}, {Name: "1-29-1"}}
		m.Spec.DefaultRevision = "1-29-1"
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: "1-29-1"}}
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: stage}
		change(&m.Spec.Restart)
	})}
}

func TestMoveRequest(t *testing.T) {
	three := intstr.FromInt32(3)
	got, err := moveRequest(moving(meshv1alpha1.StageRollback, func(r *meshv1alpha1.MemberRestart) {
		r.Method, r.MaxUnavailable = meshv1alpha1.RestartMethodEvict, &three
		r.FirstNamespaces = &metav1.LabelSelector{MatchLabels: map[string]string{"canary": "yes"}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := workloads.Request{
		Namespace: testutil.ControlPlane, Tags: map[string]string{"default": "1-29-1", "prod": "1-29-1"},
		Revisions: []string{"1-28-3", "1-29-1"}, Method: meshv1alpha1.RestartMethodEvict, MaxUnavailable: &three, Back: true, Now: testutil.Now,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(workloads.Request{}, "First")); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if !got.First.Matches(labels.Set{"canary": "yes"}) || got.First.Matches(labels.Set{}) {
		t.Errorf("first are %s, want those with canary=yes", got.First)
	}
}

// TestMoveRequestOfARollback lets PodDisruptionBudgets hold workloads unless the revision has failed that they leave.
func TestMoveRequestOfARollback(t *testing.T) {
	for cause, hasFailed := range map[meshv1alpha1.UpgradeCause]bool{
		meshv1alpha1.CauseFailed: true, meshv1alpha1.CauseRejected: false, meshv1alpha1.CauseAborted: false, meshv1alpha1.CauseSuperseded: false, "": false,
	} {
		for stage, isBack := range map[meshv1alpha1.Stage]bool{meshv1alpha1.StageRollback: true, meshv1alpha1.StageWorkloads: false} {
			pass := moving(stage, func(*meshv1alpha1.MemberRestart) {})
			pass.Object.Spec.Rollout.Cause = cause
			if got, err := moveRequest(pass); err != nil || got.Back != isBack || got.HasFailed != (hasFailed && isBack) {
				t.Errorf("stage %s, cause %q: back %v, failed %v, error %v", stage, cause, got.Back, got.HasFailed, err)
			}
		}
	}
}

func TestMoveRequestRefusesABrokenSelector(t *testing.T) {
	_, err := moveRequest(moving(meshv1alpha1.StageWorkloads, func(r *meshv1alpha1.MemberRestart) {
		r.FirstNamespaces = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	}))
	if err == nil {
		t.Error("a selector with an unknown operator gives no error")
	}
}

func TestProgressOf(t *testing.T) {
	tests := map[string]struct {
		report      workloads.Report
		wantState   meshv1alpha1.StageState
		wantMessage string
	}{
		"all have moved": {
			workloads.Report{Total: 2, Moved: 2, Done: true}, meshv1alpha1.StageDone, "2 of 2 workloads moved",
		},
		"one does not come back": {
			workloads.Report{Failed: "Deployment demo/a: late"}, meshv1alpha1.StageFailed, "Deployment demo/a: late",
		},
		"only what is blocked is left": {
			workloads.Report{Blocked: []string{"Deployment demo/a: is paused"}}, meshv1alpha1.StageInconclusive,
			"blocked: Deployment demo/a: is paused",
		},
		"others go on beside what is blocked": {
			workloads.Report{Total: 2, Blocked: []string{"Deployment demo/a: is paused"}, Restarting: []string{"Deployment demo/b"}},
			meshv1alpha1.StageProgressing, "0 of 2 workloads moved; restarting Deployment demo/b",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if state, message := progressOf(tt.report); state != tt.wantState || message != tt.wantMessage {
				t.Errorf("%s, %q, want %s, %q", state, message, tt.wantState, tt.wantMessage)
			}
		})
	}
}
