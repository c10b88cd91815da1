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

// blank is a record of an upgrade of both members as a backup without status brings it back.
func blank(name string, created time.Time, change ...func(*meshv1alpha1.MeshUpgrade)) meshv1alpha1.MeshUpgrade {
	u := meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(created)}}
	u.Spec.RollbackScope = meshv1alpha1.RollbackScopeUpgrade
	u.Spec.Waves = []meshv1alpha1.PlannedWave{{Name: "all", Members: []string{"east", "west"}}}
	for _, f := range change {
		f(&u)
	}
	return u
}

// TestRestoredRecordsGoOnWhereTheMembersAre wants a record without a status to have begun if members follow it, and nothing decided of it
// before they have told.
func TestRestoredRecordsGoOnWhereTheMembersAre(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"))
	long, soon := testutil.Now.Add(-time.Hour), testutil.Now.Add(-time.Minute)
	failed := func(m *meshv1alpha1.MeshMember) { m.Spec.Rollout.Cause = meshv1alpha1.CauseFailed }
	aborted := func(m *meshv1alpha1.MeshMember) { m.Spec.Rollout.Cause = meshv1alpha1.CauseAborted }
	mayFail := func(u *meshv1alpha1.MeshUpgrade) { u.Spec.Waves[0].MaxFailures = 1 }
	byMember := func(u *meshv1alpha1.MeshUpgrade) { u.Spec.RollbackScope = meshv1alpha1.RollbackScopeMember }
	type state struct {
		Name    string
		Phase   meshv1alpha1.UpgradePhase
		Cause   meshv1alpha1.UpgradeCause
		Started bool
		Failed  []string
	}
	const running, back, stopped = meshv1alpha1.UpgradeRunning, meshv1alpha1.UpgradeRollingBack, meshv1alpha1.UpgradeStopped
	for name, c := range map[string]struct {
		stage   meshv1alpha1.Stage
		east    testutil.MemberOption
		silent  bool
		history []meshv1alpha1.MeshUpgrade
		want    []state
	}{
		"half way": {
			stage: meshv1alpha1.StageWorkloads, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", soon)}, want: []state{{Name: "shop-1", Phase: running, Started: true}},
		},
		"only looked at": {
			stage: meshv1alpha1.StagePreflight, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", soon)}, want: []state{{Name: "shop-1"}},
		},
		"the one that members follow is the newest, whatever the order of restoring": {
			stage: meshv1alpha1.StageWorkloads, history: []meshv1alpha1.MeshUpgrade{blank("shop-0", soon), blank("shop-1", soon), blank("shop-2", soon)},
			want: []state{
				{Name: "shop-0", Phase: stopped, Cause: meshv1alpha1.CauseSuperseded},
				{Name: "shop-2", Phase: stopped, Cause: meshv1alpha1.CauseSuperseded}, {Name: "shop-1", Phase: running, Started: true},
			},
		},
		"failed and rolled back": {
			stage: meshv1alpha1.StageRollback, east: failed, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", soon)},
			want: []state{{Name: "shop-1", Phase: back, Cause: meshv1alpha1.CauseFailed, Started: true, Failed: []string{"east"}}},
		},
		"one may fail": {
			stage: meshv1alpha1.StageRollback, east: failed, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", soon, mayFail)},
			want: []state{{Name: "shop-1", Phase: running, Started: true, Failed: []string{"east"}}},
		},
		"only the member that failed is rolled back": {
			stage: meshv1alpha1.StageRollback, east: failed, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", soon, byMember)},
			want: []state{{Name: "shop-1", Phase: running, Cause: meshv1alpha1.CauseFailed, Started: true, Failed: []string{"east"}}},
		},
		"aborted": {
			stage: meshv1alpha1.StageDiscard, east: aborted, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", soon)},
			want: []state{{Name: "shop-1", Phase: back, Cause: meshv1alpha1.CauseAborted, Started: true}},
		},
		"a member has not told yet": {
			stage: meshv1alpha1.StageWorkloads, silent: true, history: []meshv1alpha1.MeshUpgrade{blank("shop-0", soon), blank("shop-1", soon)},
			want: []state{{Name: "shop-0"}, {Name: "shop-1"}},
		},
		"a member does not tell for long": {
			stage: meshv1alpha1.StageWorkloads, silent: true, history: []meshv1alpha1.MeshUpgrade{blank("shop-0", long), blank("shop-1", long)},
			want: []state{{Name: "shop-0", Phase: stopped, Cause: meshv1alpha1.CauseSuperseded}, {Name: "shop-1", Phase: running, Started: true}},
		},
		"a record with a status": {
			stage: meshv1alpha1.StageWorkloads, history: []meshv1alpha1.MeshUpgrade{blank("shop-1", long, func(u *meshv1alpha1.MeshUpgrade) {
				u.Status.Phase, u.Status.StartedAt = meshv1alpha1.UpgradePaused, &metav1.Time{Time: long}
			})}, want: []state{{Name: "shop-1", Phase: meshv1alpha1.UpgradePaused, Started: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			members := begun(inst, c.stage)
			if c.east != nil {
				c.east(&members[0])
			}
			if c.silent {
				members[1].Status = meshv1alpha1.MeshMemberStatus{}
			}
			var got []state
			for _, u := range plan.RestoredRecords(c.history, inst, members, testutil.Now) {
				got = append(got, state{u.Name, u.Status.Phase, u.Status.Cause, u.Status.StartedAt != nil, u.Status.Failed})
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingStartsBeforeMembersHaveTold wants no upgrade started by a new installation while a member may run another release than others.
func TestNothingStartsBeforeMembersHaveTold(t *testing.T) {
	inst := plantest.Shop(plantest.Version("1.29.1"))
	inst.CreationTimestamp = metav1.NewTime(testutil.Now.Add(-time.Minute))
	members := plantest.Made(inst)
	recovered := &meshv1alpha1.OrderInForce{Revisions: []meshv1alpha1.Revision{plantest.Older}, DefaultRevision: plantest.Older.Name}
	members[0].Status.Recovered = recovered
	if diff := cmp.Diff([]string{"west"}, plan.Unanswered(inst, members, testutil.Now)); diff != "" {
		t.Errorf("waiting for (-want +got):\n%s", diff)
	}
	if got := plan.Unanswered(inst, members[:1], testutil.Now); !cmp.Equal(got, []string{"west"}) {
		t.Errorf("waiting for %v, want the member without a MeshMember", got)
	}
	if got := plan.Unanswered(inst, members, testutil.Now.Add(time.Hour)); len(got) > 0 {
		t.Errorf("an hour later it waits for %v", got)
	}
	members[1].Status.Trust.ClaimedRoot = &meshv1alpha1.ClaimedRoot{}
	if got := plan.Unanswered(inst, members, testutil.Now); len(got) > 0 {
		t.Errorf("it waits for %v, which have told", got)
	}
}

// TestRecoveredMembersKeepTheirIstiod wants what was ordered of istiod beside its revision to be in the record: else istiod would be written
// when a MeshMember is lost.
func TestRecoveredMembersKeepTheirIstiod(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.28.3"))
	members := plantest.Serving(plantest.Made(inst))
	at := metav1.NewTime(testutil.Now.Add(-time.Hour))
	members[0].Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: at, Reason: "x", Attempt: 2}
	members[0].Spec.ReaderTokens = meshv1alpha1.ReaderTokensInline
	again := plantest.Made(inst)
	again[0].Status.Recovered = plan.InForce(&members[0].Spec)
	p, err := plan.Members(inst, plan.Recovered(again), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := p.Desired[0].Spec
	if diff := cmp.Diff(members[0].Spec.IstiodRestart, got.IstiodRestart); diff != "" || got.ReaderTokens != meshv1alpha1.ReaderTokensInline {
		t.Errorf("tokens %q, restart (-before +after):\n%s", got.ReaderTokens, diff)
	}
}
