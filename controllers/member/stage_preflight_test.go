package member

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestInterruptedPreflight looks at a preflight whose member stopped being well: it must not stay Done.
func TestInterruptedPreflight(t *testing.T) {
	broken := phase.Waiting(meshv1alpha1.ReasonRootNotInForce, "istiod has not published its root yet", 0)
	s := newStages()
	report := func(stage meshv1alpha1.Stage) *member.Pass {
		pass := membertest.Pass(t, testutil.Member("east"))
		pass.Object.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Stage: stage, State: meshv1alpha1.StageDone}
		s.memory.Of(pass).lastPreflight.order = "x"
		return pass
	}
	pass := report(meshv1alpha1.StagePreflight)
	s.interrupted(pass, "rootInForce", broken)
	if st := pass.Object.Status.Rollout; st.State != meshv1alpha1.StageInconclusive || st.Message != "the member is not well (rootInForce): istiod has not published its root yet" {
		t.Errorf("the preflight is %s: %s", st.State, st.Message)
	}
	if s.memory.Of(pass).lastPreflight.order != "" {
		t.Error("the checks are not asked again when the member is well")
	}
	pass = report(meshv1alpha1.StageRetire)
	s.interrupted(pass, "rootInForce", broken)
	if st := pass.Object.Status.Rollout; st.State != meshv1alpha1.StageDone || st.Message != "" {
		t.Errorf("another stage is %s", st.State)
	}
	pass = &member.Pass{Object: report(meshv1alpha1.StagePreflight).Object, Now: testutil.Now}
	s.interrupted(pass, "connect", phase.Retrying(meshv1alpha1.ReasonConnectionDown, errors.New("no answer")))
	if st := pass.Object.Status.Rollout; st.State != meshv1alpha1.StageDone {
		t.Errorf("the preflight of a member that does not answer is judged: %s", st.State)
	}
}

func TestPeersFinding(t *testing.T) {
	if f := peersFinding(phase.Complete(meshv1alpha1.ReasonReady, "2/2 peers synced")); len(f.Problems) > 0 || f.Note != "2/2 peers synced" {
		t.Errorf("synced peers: %+v", f)
	}
	for name, result := range map[string]phase.Result{
		"waiting": phase.Waiting(meshv1alpha1.ReasonWaitingForPeers, "istiod: west is timeout", 0),
		"failing": phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, errors.New("no answer")),
	} {
		if f := peersFinding(result); len(f.Problems) != 1 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestForeseeNamesWhatIsPinned names what keeps the former revision by naming it, with the cure.
func TestForeseeNamesWhatIsPinned(t *testing.T) {
	pass := membertest.Pass(t, testutil.Member("east"), membertest.NamespaceOf("batch", "1-28-3"), membertest.NamespaceOf("demo", "prod"))
	pass.Object.Spec.Rollout = &meshv1alpha1.MemberRollout{From: meshv1alpha1.Revision{Name: "1-28-3"}, To: meshv1alpha1.Revision{Name: "1-29-1"}}
	f, err := foresee(t.Context(), pass)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(meshv1alpha1.Sample{Count: 1, Names: []string{"Namespace batch"}}, f.Pinned); diff != "" {
		t.Errorf("pinned (-want +got):\n%s", diff)
	}
	_, message := preflightState(&meshv1alpha1.MemberRolloutStatus{Forecast: f}, testutil.Now)
	if want := "in the label istio.io/rev of Namespace batch: name a tag there"; !strings.Contains(message, want) {
		t.Errorf("message %q, want %q in it", message, want)
	}
}

// badValues refuses every value of the target.
type badValues struct{}

func (badValues) CheckValues(c charts.Ref, values map[string]any) error {
	var errs []error
	for name := range values {
		errs = append(errs, &charts.ValueError{Path: name, Problem: "the " + c.Chart + " chart of " + c.Version + " has another type there"})
	}
	return errors.Join(errs...)
}

func TestPreflightChecksTheValuesOfTheTarget(t *testing.T) {
	values := func(v any) meshv1alpha1.Revision {
		return meshv1alpha1.Revision{Version: "1.29.1", Values: testutil.JSON(v)}
	}
	type object = map[string]any
	cases := map[string]struct {
		from, to meshv1alpha1.Revision
		want     string
	}{
		"the same as before":         {values(object{"env": "x"}), values(object{"env": "x"}), ""},
		"the same of a newer target": {meshv1alpha1.Revision{Version: "1.28.3", Values: testutil.JSON(object{"env": "x"})}, values(object{"env": "x"}), ""},
		"none":                       {values(object{"env": "x"}), meshv1alpha1.Revision{Version: "1.29.1"}, ""},
		"a bad value":                {values(object{}), values(object{"env": "x"}), "env: the istiod chart of 1.29.1 has another type there"},
		"no values at all":           {values(object{}), values("x"), "values must be a map"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStages()
			s.values = badValues{}
			err := s.checkValues(&meshv1alpha1.MemberRollout{From: c.from, To: c.to})
			if got := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}
