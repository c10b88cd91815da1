package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestMembersOfALostRecordGoBack wants no member promoted that is between two revisions when the record of its upgrade is gone.
func TestMembersOfALostRecordGoBack(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"))
	const install, workloads, soak = meshv1alpha1.StageInstall, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak
	const rollback, discard = meshv1alpha1.StageRollback, meshv1alpha1.StageDiscard
	long, soon := testutil.Now.Add(-time.Hour), testutil.Now.Add(-time.Minute)
	kept := []meshv1alpha1.MeshUpgrade{{ObjectMeta: metav1.ObjectMeta{Name: "shop-1"}}}
	for name, c := range map[string]struct {
		stage   meshv1alpha1.Stage
		isDone  bool
		history []meshv1alpha1.MeshUpgrade
		ordered time.Time
		watched time.Time
		// want is the stage after this pass. Empty: the member runs one revision alone.
		want meshv1alpha1.Stage
	}{
		"before it had traffic":                {stage: install, want: rollback},
		"half moved":                           {stage: workloads, isDone: true, want: rollback},
		"while it soaks":                       {stage: soak, want: rollback},
		"on its way back":                      {stage: rollback, want: rollback},
		"back":                                 {stage: rollback, isDone: true, want: discard},
		"discarded":                            {stage: discard},
		"only looked at":                       {stage: meshv1alpha1.StagePreflight},
		"through":                              {stage: meshv1alpha1.StageRetire},
		"the record is there":                  {stage: workloads, history: kept},
		"the order is new":                     {stage: workloads, ordered: soon, want: workloads},
		"the operator has just begun":          {stage: workloads, watched: soon, want: workloads},
		"the operator has just begun, soaking": {stage: soak, isDone: true, watched: soon, want: soak},
		"the operator has just begun, back":    {stage: rollback, isDone: true, watched: soon, want: rollback},
	} {
		t.Run(name, func(t *testing.T) {
			members := begun(inst, c.stage)
			east := &members[0]
			if east.Spec.Rollout.OrderedAt.Time = long; !c.ordered.IsZero() {
				east.Spec.Rollout.OrderedAt.Time = c.ordered
			}
			if c.watched.IsZero() {
				c.watched = long
			}
			east.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: "shop-1", Stage: c.stage, State: meshv1alpha1.StageProgressing}
			if c.isDone {
				east.Status.Rollout.State = meshv1alpha1.StageDone
			}
			run, names := plan.Unrecorded(members, c.history, c.watched, testutil.Now)
			if (run == nil) != (c.want == "") || c.want != "" && !cmp.Equal(names, []string{"east"}) {
				t.Fatalf("run %+v of %v", run, names)
			}
			if run == nil {
				return
			}
			p, err := plan.Members(inst, members, run)
			if err != nil {
				t.Fatal(err)
			}
			got := p.Desired[0].Spec
			if got.Rollout == nil || got.Rollout.Stage != c.want {
				t.Fatalf("rollout %+v, want stage %s", got.Rollout, c.want)
			}
			if diff := cmp.Diff(east.Spec.Rollout.From, got.Rollout.From); diff != "" {
				t.Errorf("from (-before +after):\n%s", diff)
			}
			if isBack := got.DefaultRevision == got.Rollout.From.Name; (c.want == rollback || c.want == discard) && !isBack {
				t.Errorf("tags point at %s", got.DefaultRevision)
			}
			if c.want == rollback && c.watched != soon && got.Rollout.Cause != meshv1alpha1.CauseAborted {
				t.Errorf("cause %q, want budgets to count", got.Rollout.Cause)
			}
		})
	}
}

// TestTwoLostRecordsGoBackEachToItsOwn wants each member rolled back by the upgrade of its own work order, and a member that follows a
// record left on its way.
func TestTwoLostRecordsGoBackEachToItsOwn(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"))
	members := begun(inst, meshv1alpha1.StageWorkloads)
	other := meshv1alpha1.Revision{Name: "1-29-1-vabcde", Version: "1.29.1", Values: testutil.JSON(plantest.Values{"pilot": plantest.Values{}})}
	east, west := &members[0], &members[1]
	west.Spec.Rollout = east.Spec.Rollout.DeepCopy()
	west.Spec.Rollout.Upgrade, west.Spec.Rollout.From, west.Spec.Rollout.To = "shop-2", west.Spec.Revisions[0], other
	plan.Content(&west.Spec, west.Spec.Rollout.From, other, meshv1alpha1.StageWorkloads)
	long := testutil.Now.Add(-time.Hour)
	for i := range members {
		members[i].Spec.Rollout.OrderedAt.Time = long
	}
	for name, c := range map[string]struct {
		history []meshv1alpha1.MeshUpgrade
		missing []string
		// west is its stage after this pass.
		west meshv1alpha1.Stage
	}{
		"both are lost": {missing: []string{"shop-1", "shop-2"}, west: meshv1alpha1.StageRollback},
		"one is there": {
			history: []meshv1alpha1.MeshUpgrade{{ObjectMeta: metav1.ObjectMeta{Name: "shop-2"}}}, missing: []string{"shop-1"}, west: meshv1alpha1.StageWorkloads,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run, _ := plan.Unrecorded(members, c.history, long, testutil.Now)
			if run == nil || !cmp.Equal(run.Missing, c.missing) {
				t.Fatalf("run %+v, want %v missing", run, c.missing)
			}
			p, err := plan.Members(inst, members, run)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []meshv1alpha1.Stage{meshv1alpha1.StageRollback, c.west} {
				got, before := p.Desired[i].Spec, members[i].Spec.Rollout
				if got.Rollout == nil || got.Rollout.Stage != want || got.Rollout.Upgrade != before.Upgrade {
					t.Fatalf("%s: rollout %+v, want stage %s of %s", got.Cluster, got.Rollout, want, before.Upgrade)
				}
				if diff := cmp.Diff(before.From, got.Rollout.From) + cmp.Diff(before.To, got.Rollout.To); diff != "" {
					t.Errorf("%s: (-before +after):\n%s", got.Cluster, diff)
				}
				if wantDefault := map[bool]string{true: before.From.Name, false: before.To.Name}[want == meshv1alpha1.StageRollback]; got.DefaultRevision != wantDefault {
					t.Errorf("%s: tags point at %s, want %s", got.Cluster, got.DefaultRevision, wantDefault)
				}
			}
		})
	}
}
