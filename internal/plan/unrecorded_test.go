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
