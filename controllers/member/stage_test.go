package member

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/parts"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// newStages are stages of a member that consists of all parts.
func newStages() *stages { return &stages{parts: parts.New(parts.Deps{})} }

func TestGatewayState(t *testing.T) {
	serves := phase.Complete(meshv1alpha1.ReasonReady, "the gateway serves at 192.0.2.1")
	starts := phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, "0 of 1 replicas are ready", time.Second)
	for name, test := range map[string]struct {
		gateway phase.Result
		gates   meshv1alpha1.StageState
		want    meshv1alpha1.StageState
		says    string
	}{
		"a gate that says no fails a gateway that does not come up": {
			starts, meshv1alpha1.StageFailed, meshv1alpha1.StageFailed, "gates",
		},
		"a gate that says no fails a gateway that serves": {
			serves, meshv1alpha1.StageFailed, meshv1alpha1.StageFailed, "gates",
		},
		"a gateway that starts is told of alone": {
			starts, meshv1alpha1.StageDone, meshv1alpha1.StageProgressing, "0 of 1 replicas are ready",
		},
		"gates that cannot tell are nobody's yet while the gateway starts": {
			starts, meshv1alpha1.StageInconclusive, meshv1alpha1.StageProgressing, "0 of 1 replicas are ready; gates",
		},
		"a gateway that serves waits for the gates": {
			serves, meshv1alpha1.StageProgressing, meshv1alpha1.StageProgressing, "the gateway serves at 192.0.2.1; gates",
		},
		"gates that cannot tell of a gateway that serves are a person's": {
			serves, meshv1alpha1.StageInconclusive, meshv1alpha1.StageInconclusive, "the gateway serves at 192.0.2.1; gates",
		},
		"done when both are": {
			serves, meshv1alpha1.StageDone, meshv1alpha1.StageDone, "the gateway serves at 192.0.2.1; gates",
		},
	} {
		t.Run(name, func(t *testing.T) {
			state, message := gatewayState(test.gateway, test.gates, "gates")
			if state != test.want || message != test.says {
				t.Errorf("gatewayState = %s %q, want %s %q", state, message, test.want, test.says)
			}
		})
	}
}

// TestAcknowledgeKeepsWhatWasMeasured wants failures of the workloads' stage to count while the member soaks.
func TestAcknowledgeKeepsWhatWasMeasured(t *testing.T) {
	measured := meshv1alpha1.GateResult{
		Name: "slo", Verdict: meshv1alpha1.VerdictPass, Measurements: &meshv1alpha1.GateMeasurements{Taken: 3, Bad: 1},
	}
	for stage, want := range map[meshv1alpha1.Stage][]meshv1alpha1.GateResult{
		meshv1alpha1.StageSoak: {measured}, meshv1alpha1.StageRollback: nil,
	} {
		m := &meshv1alpha1.MeshMember{}
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "shop-1", Stage: stage}
		m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{
			Upgrade: "shop-1", Stage: meshv1alpha1.StageWorkloads, Workloads: meshv1alpha1.WorkloadCounts{Total: 2},
			Gates: []meshv1alpha1.GateResult{{Name: "ProxiesSynced", Verdict: meshv1alpha1.VerdictPass}, measured},
		}
		acknowledge(&member.Pass{Object: m, Now: time.Unix(0, 0)})
		got := m.Status.Rollout
		if diff := cmp.Diff(want, got.Gates); diff != "" || got.Workloads.Total != 2 {
			t.Errorf("%s: %+v, gates (-want +got):\n%s", stage, got, diff)
		}
	}
}

// TestAcknowledgeKeepsWhenTheTagsMoved wants every later stage of the same upgrade to know it.
func TestAcknowledgeKeepsWhenTheTagsMoved(t *testing.T) {
	m := &meshv1alpha1.MeshMember{}
	order := func(upgrade string, stage meshv1alpha1.Stage, at int64) *metav1.Time {
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: upgrade, Stage: stage}
		acknowledge(&member.Pass{Object: m, Now: time.Unix(at, 0)})
		return m.Status.Rollout.TagsMovedAt
	}
	const never = int64(-1)
	for _, step := range []struct {
		upgrade string
		stage   meshv1alpha1.Stage
		at      int64
		want    int64
	}{
		{"shop-1", meshv1alpha1.StageInstall, 1, never},
		{"shop-1", meshv1alpha1.StageWorkloads, 2, 2},
		{"shop-1", meshv1alpha1.StageWorkloads, 3, 2},
		{"shop-1", meshv1alpha1.StageSoak, 4, 2},
		{"shop-2", meshv1alpha1.StageInstall, 5, never},
	} {
		got := never
		if moved := order(step.upgrade, step.stage, step.at); moved != nil {
			got = moved.Unix()
		}
		if got != step.want {
			t.Errorf("%s of %s: the tags moved at %d, want %d", step.stage, step.upgrade, got, step.want)
		}
	}
}

// TestLooksLastAsLongAsAStage wants gates to begin anew in each stage, and in each upgrade.
func TestLooksLastAsLongAsAStage(t *testing.T) {
	memory := &stageMemory{}
	install := &meshv1alpha1.MemberRollout{Upgrade: "shop-1", Stage: meshv1alpha1.StageInstall}
	first := memory.looksOf(install)
	if memory.looksOf(install) != first {
		t.Error("a stage that goes on has lost its looks")
	}
	soak := &meshv1alpha1.MemberRollout{Upgrade: "shop-1", Stage: meshv1alpha1.StageSoak}
	found := 1
	gate.Keep(&gate.Subject{Looks: first}, "A", &found)
	second := memory.looksOf(soak)
	if gate.Kept[int](&gate.Subject{Looks: second}, "A") == nil {
		t.Error("what a gate keeps for the upgrade is lost in its next stage")
	}
	if second == first || memory.looksOf(&meshv1alpha1.MemberRollout{Upgrade: "shop-2", Stage: meshv1alpha1.StageSoak}) == second {
		t.Error("the looks of another stage or upgrade are kept")
	}
}

// TestBesideGateway never lets a gateway that waits hold back workloads that roll back, nor call the rollback done before it is there.
func TestBesideGateway(t *testing.T) {
	waiting, there := phase.Waiting(meshv1alpha1.ReasonProgressing, "no address yet", 0), phase.Complete(meshv1alpha1.ReasonReady, "")
	for name, c := range map[string]struct {
		state       meshv1alpha1.StageState
		gateway     phase.Result
		want        meshv1alpha1.StageState
		wantMessage string
	}{
		"both are there":                     {meshv1alpha1.StageDone, there, meshv1alpha1.StageDone, "2 of 2 moved"},
		"the gateway waits":                  {meshv1alpha1.StageDone, waiting, meshv1alpha1.StageProgressing, "2 of 2 moved; no address yet"},
		"both wait":                          {meshv1alpha1.StageProgressing, waiting, meshv1alpha1.StageProgressing, "2 of 2 moved; no address yet"},
		"a workload that fails stays failed": {meshv1alpha1.StageFailed, waiting, meshv1alpha1.StageFailed, "2 of 2 moved; no address yet"},
	} {
		t.Run(name, func(t *testing.T) {
			if state, message := besideGateway(c.state, "2 of 2 moved", c.gateway); state != c.want || message != c.wantMessage {
				t.Errorf("%s, %q, want %s, %q", state, message, c.want, c.wantMessage)
			}
		})
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
	const step = 4
	gateways := &meshv1alpha1.MemberRolloutStatus{Stage: meshv1alpha1.StageGateways, Workloads: meshv1alpha1.WorkloadCounts{Moved: 5}}
	want := meshv1alpha1.StageProgress{At: &metav1.Time{Time: testutil.Now}, GatewayStep: step}
	if diff := cmp.Diff(want, furthest(gateways, step, testutil.Now)); diff != "" {
		t.Errorf("progress of the gateway (-want +got):\n%s", diff)
	}
}

// TestPaceAfter wants looks at a small cluster every two seconds, and a third of the time at most for looks at a large one.
func TestPaceAfter(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: 2 * time.Second, 900 * time.Millisecond: 2 * time.Second, 3 * time.Second: 6 * time.Second, time.Minute: 2 * time.Minute,
	} {
		if got := paceAfter(took); got != want {
			t.Errorf("after a look of %s the next one comes in %s, want %s", took, got, want)
		}
	}
}

// TestStageRestsAfterALongLook wants the member of a slow API server to be looked at again after twice the time that the look took.
func TestStageRestsAfterALongLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 3 * time.Second
		remote := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
			List: func(ctx context.Context, w client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				time.Sleep(slow)
				return w.List(ctx, list, options...)
			},
		})
		pass := membertest.Passes(t, testutil.Member("east"), remote)(testutil.Now)
		pass.Object.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "shop-1", Stage: meshv1alpha1.StageRollback}
		pass.Object.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{
			Upgrade: "shop-1", Stage: meshv1alpha1.StageRollback, State: meshv1alpha1.StageProgressing, Since: metav1.NewTime(testutil.Now.Add(-time.Hour)),
		}
		start := time.Now()
		result := newStages().run(t.Context(), pass)
		took := time.Since(start)
		if took < slow || result.After != restAfterLook*took {
			t.Errorf("a look of %s: the next one comes in %s, want %s (%s)", took, result.After, restAfterLook*took, result.Text())
		}
	})
}
