package member

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// refusing is a pass over a member at a stage.
func refusing(stage meshv1alpha1.Stage) *scope {
	s := pass()
	s.state = &memberState{}
	s.member.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "u", From: "a", To: "b", Stage: stage}
	s.member.Spec.GatewayRevision = "b"
	s.member.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: "u", Stage: stage, State: meshv1alpha1.StageProgressing}
	return s
}

func refusalOf(component string, kind apply.RefusalKind) error {
	return fmt.Errorf("joined: %w", &apply.Refusal{Component: component, Object: apply.Reference{Kind: "Deployment", Name: "x"}, Kind: kind, Err: errors.New("no")})
}

func TestInterruptedStage(t *testing.T) {
	const failed, progressing = meshv1alpha1.StageFailed, meshv1alpha1.StageProgressing
	cases := map[string]struct {
		stage     meshv1alpha1.Stage
		err       error
		lasted    time.Duration
		wantState meshv1alpha1.StageState
		wantWords string
	}{
		"an invalid object of the target fails at once":        {meshv1alpha1.StageInstall, refusalOf("istiod-b", apply.RefusedInvalid), 0, failed, "the API server refused Deployment x"},
		"so does one of its tags":                              {meshv1alpha1.StageWorkloads, refusalOf("tags", apply.RefusedInvalid), 0, failed, "the API server refused"},
		"and one of its gateway":                               {meshv1alpha1.StageGateways, refusalOf("eastwest-b", apply.RefusedInvalid), 0, failed, "the API server refused"},
		"a policy is given a moment":                           {meshv1alpha1.StageInstall, refusalOf("istiod-b", apply.RefusedByPolicy), gate.FailAfter - time.Second, progressing, "the member is not well (install)"},
		"a policy that goes on refusing fails":                 {meshv1alpha1.StageInstall, refusalOf("istiod-b", apply.RefusedByPolicy), gate.FailAfter, failed, "the API server refused"},
		"a quota likewise":                                     {meshv1alpha1.StageInstall, refusalOf("istiod-b", apply.RefusedByQuota), gate.FailAfter, failed, "the API server refused"},
		"a missing permission waits for the deadline":          {meshv1alpha1.StageInstall, refusalOf("istiod-b", apply.RefusedPermission), time.Hour, progressing, "the member is not well (install)"},
		"what is refused of the former revision is no verdict": {meshv1alpha1.StageInstall, refusalOf("istiod-a", apply.RefusedInvalid), time.Hour, progressing, "the member is not well (install)"},
		"a failure of a call is told":                          {meshv1alpha1.StageInstall, errors.New("no route"), time.Hour, progressing, "the member is not well (install): no route"},
		"going back never fails, and is told":                  {meshv1alpha1.StageRollBack, refusalOf("istiod-b", apply.RefusedInvalid), time.Hour, progressing, "the member is not well (install)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := refusing(c.stage)
			start := s.now
			for _, after := range []time.Duration{0, c.lasted} {
				s.now, s.refused = start.Add(after), nil
				noteRefusal(s, c.err)
				interrupted(s, "install", phase.Stall("Reason", c.err))
			}
			if st := s.member.Status.Rollout; st.State != c.wantState || !strings.HasPrefix(st.Message, c.wantWords) {
				t.Errorf("the stage is %s: %s", st.State, st.Message)
			}
		})
	}
}

// TestRefusalMustLast counts from when it began, without a break.
func TestRefusalMustLast(t *testing.T) {
	s := refusing(meshv1alpha1.StageInstall)
	start := s.now
	for _, step := range []struct {
		after   time.Duration
		refused bool
		want    bool
	}{{0, true, false}, {10 * time.Second, true, false}, {12 * time.Second, false, false}, {20 * time.Second, true, false}, {35 * time.Second, true, true}} {
		s.now, s.refused = start.Add(step.after), nil
		if step.refused {
			noteRefusal(s, refusalOf("istiod-b", apply.RefusedByPolicy))
		}
		if got, _ := s.refusal(); got != step.want {
			t.Errorf("after %s: failed %v, want %v", step.after, got, step.want)
		}
	}
}

func TestWithoutTarget(t *testing.T) {
	for stage, want := range map[meshv1alpha1.Stage]int{meshv1alpha1.StageInstall: 2, meshv1alpha1.StageRollBack: 1, meshv1alpha1.StageSoak: 2} {
		s := refusing(stage)
		s.member.Spec.Revisions = []meshv1alpha1.Revision{{Name: "a"}, {Name: "b"}}
		if got := withoutTarget(s.member).Revisions; len(got) != want || got[0].Name != "a" || len(s.member.Spec.Revisions) != 2 {
			t.Errorf("%s: %v", stage, got)
		}
	}
}

func TestObjectsFinding(t *testing.T) {
	status := func(code int32, reason metav1.StatusReason) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason}}
	}
	broken := errors.New("no route")
	invalid, policy := refusalOf("istiod-b", apply.RefusedInvalid), refusalOf("istiod-b", apply.RefusedByPolicy)
	f := objectsFinding(20, errors.Join(errors.Join(invalid, policy), refusalOf("reader", apply.RefusedPermission),
		fmt.Errorf("apply x: %w", apply.ErrConflict), status(http.StatusInternalServerError, metav1.StatusReasonInternalError),
		fmt.Errorf("apply y: %w", &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Gateway"}})))
	if len(f.Failures) != 1 || len(f.Problems) != 2 || f.Err != nil || f.Note != "the API server takes 17 objects, and could not tell of 3" {
		t.Errorf("finding %+v", f)
	}
	if f := objectsFinding(20, nil); f.Note != "the API server takes 20 objects" || len(f.Failures)+len(f.Problems) > 0 {
		t.Errorf("nothing refused: %+v", f)
	}
	if f := objectsFinding(20, errors.Join(broken)); !errors.Is(f.Err, broken) {
		t.Errorf("no answer: %+v", f)
	}
}
