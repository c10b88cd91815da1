package rollout

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// prepare plans for some ticks, with an operator that is killed before every other status that it writes.
func (w *world) prepare(ticks int, quoted string) Preparation {
	var p Preparation
	for i := range ticks {
		p = Prepare(w.stored(), quoted)
		if again := Prepare(w.stored(), quoted); !cmp.Equal(p, again) {
			w.violated("another preparation of the same world:\n%s", cmp.Diff(p, again))
		}
		if p.Status.StartedAt != nil {
			w.violated("a plan has begun: %+v", p.Status)
		}
		if i%2 == 0 {
			w.upgrade.Status = p.Status
		}
		for _, name := range slices.Sorted(maps.Keys(p.Orders)) {
			m := w.member(name)
			if p.Orders[name] != meshv1alpha1.StagePreflight {
				w.violated("a plan orders %s of %s", p.Orders[name], name)
			}
			if m.Spec.Rollout == nil {
				w.give(m, "", meshv1alpha1.StagePreflight)
			}
		}
		for _, m := range w.members {
			w.act(m)
		}
		w.now = w.now.Add(tick)
	}
	w.checkWorld()
	return p
}

func TestPrepare(t *testing.T) {
	preflight := meshv1alpha1.StagePreflight
	cases := map[string]struct {
		set         func(*world)
		wantPhase   meshv1alpha1.UpgradePhase
		wantMessage string
		wantBlocked []string
		wantHold    string
	}{
		"a plan of all members": {wantPhase: meshv1alpha1.UpgradePlanned, wantHold: meshv1alpha1.ReasonUpgradePlanned,
			wantMessage: "3 members; 9 objects added, 0 changed, 6 removed; 12 workloads to restart"},
		"a plan says what is in the way": {
			set: behaves("north", behaviour{puzzled: preflight}), wantPhase: meshv1alpha1.UpgradePlanned, wantBlocked: []string{"north"},
			wantMessage: `; preflight: member "north": gate ConfigDiff (no proxy to compare)`, wantHold: meshv1alpha1.ReasonUpgradePlanned},
		"a member that cannot be reached cannot be planned": {
			set: func(w *world) { setReachable(w.member("west"), false, w.now) }, wantPhase: meshv1alpha1.UpgradePlanning,
			wantMessage: "unreachable members: west"},
		"a plan waits for every member": {
			set: behaves("east", behaviour{ticks: map[meshv1alpha1.Stage]int{preflight: 30}}), wantPhase: meshv1alpha1.UpgradePlanning,
			wantMessage: "preflight running: east"},
		"a target that cannot be rendered is no plan": {
			set: behaves("east", behaviour{fails: preflight}), wantPhase: meshv1alpha1.UpgradePlanning,
			wantMessage: `cannot be planned: member "east": gate ConfigDiff (2 listeners lost)`, wantHold: meshv1alpha1.ReasonPreflightBlocked},
		"a member that is there already needs nothing": {
			set: func(w *world) {
				plan.Content(&w.member("east").Spec, older, newer, meshv1alpha1.StageRetire)
				w.touched["east"] = true
			},
			wantPhase: meshv1alpha1.UpgradePlanned, wantMessage: "3 members; 6 objects added, 0 changed, 4 removed; 8 workloads to restart",
			wantHold: meshv1alpha1.ReasonUpgradePlanned},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, canaryAndRest()...)
			if c.set != nil {
				c.set(w)
			}
			p := w.prepare(5, "")
			if p.Status.Phase != c.wantPhase || !strings.Contains(p.Status.Message, c.wantMessage) {
				t.Errorf("the plan is %s: %s\nwant %s: %s", p.Status.Phase, p.Status.Message, c.wantPhase, c.wantMessage)
			}
			if isPlanned := c.wantPhase == meshv1alpha1.UpgradePlanned; isPlanned != (p.Status.Plan != nil) {
				t.Fatalf("plan: %+v", p.Status.Plan)
			} else if isPlanned && !slices.Equal(p.Status.Plan.Blocked.Names, c.wantBlocked) {
				t.Errorf("blocked: %v, want %v", p.Status.Plan.Blocked, c.wantBlocked)
			}
			if p.Hold.Reason != c.wantHold {
				t.Errorf("it waits for a person because of %q, want %q", p.Hold.Reason, c.wantHold)
			}
			if p.MayBegin || p.IsRefused {
				t.Errorf("without a quoted hash it may begin: %t, is refused: %t", p.MayBegin, p.IsRefused)
			}
		})
	}
}

// TestPlanHash changes one thing at a time.
func TestPlanHash(t *testing.T) {
	hash := func(t *testing.T, later func(*world)) string {
		w := newWorld(t, canaryAndRest()...)
		w.prepare(3, "")
		later(w)
		p := Prepare(w.stored(), "")
		if p.Status.Plan == nil {
			t.Fatalf("no plan: %s", p.Status.Message)
		}
		return p.Status.Plan.Hash
	}
	same := hash(t, func(*world) {})
	cases := map[string]struct {
		later   func(*world)
		changes bool
	}{
		"time":                      {later: func(w *world) { w.now = w.now.Add(time.Hour) }},
		"numbers of workloads":      {later: func(w *world) { w.member("east").Status.Rollout.Forecast.Restarts.Count = 99 }},
		"something in the way":      {later: func(w *world) { w.member("east").Status.Rollout.State = meshv1alpha1.StageInconclusive }},
		"a member that is cut off":  {later: func(w *world) { setReachable(w.member("east"), false, w.now) }},
		"where the mesh comes from": {later: func(w *world) { w.upgrade.Spec.From.Hash = "other" }},
		"who asked for another try": {later: func(w *world) {
			w.upgrade.Spec.Retry = &meshv1alpha1.UpgradeRetry{Of: "shop-0", By: meshv1alpha1.ByAnnotation}
		}},
		"objects":                    {later: func(w *world) { w.member("east").Status.Rollout.Changes.Hash = "other" }, changes: true},
		"the target":                 {later: func(w *world) { w.upgrade.Spec.To.Hash = "other" }, changes: true},
		"a wave's soak":              {later: func(w *world) { w.upgrade.Spec.Waves[0].Soak = metav1.Duration{Duration: time.Hour} }, changes: true},
		"what happens after failure": {later: pauseOnFailure, changes: true},
		"a member that leaves":       {later: func(w *world) { w.leave("west") }, changes: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := hash(t, c.later); (got != same) != c.changes {
				t.Errorf("hash %s, before %s, want a change: %t", got, same, c.changes)
			}
		})
	}
}

// TestLockedPlan runs only the plan that is quoted, from where its preparation has left the members.
func TestLockedPlan(t *testing.T) {
	w := newWorld(t, canaryAndRest()...)
	hash := w.prepare(3, "").Status.Plan.Hash
	if p := w.prepare(3, "0123456789abcdef"); p.MayBegin || !p.IsRefused {
		t.Fatalf("another plan may begin: %t, is refused: %t", p.MayBegin, p.IsRefused)
	}
	p := w.prepare(3, hash)
	if !p.MayBegin || p.IsRefused {
		t.Fatalf("the plan may begin: %t, is refused: %t", p.MayBegin, p.IsRefused)
	}
	w.run(100)
	if got := w.upgrade.Status; got.Phase != meshv1alpha1.UpgradeSucceeded || got.Plan == nil || got.Plan.Hash != hash {
		t.Errorf("the upgrade is %s with plan %+v:\n%s", got.Phase, got.Plan, w.log.String())
	}
}

// TestARetryIsRecordedWithItsPlan looks at the plan for long, lets it run, and wants one record of who asked for it.
func TestARetryIsRecordedWithItsPlan(t *testing.T) {
	w := newWorld(t, canaryAndRest()...)
	w.upgrade.Spec.Retry = &meshv1alpha1.UpgradeRetry{Of: "shop-0", By: meshv1alpha1.ByAttempt}
	w.prepare(9, "")
	want := []string{"Retry by spec.upgrade.attempt "}
	if diff := cmp.Diff(want, deeds(w)); diff != "" {
		t.Errorf("recorded of a plan (-want +got):\n%s", diff)
	}
	w.run(100)
	if diff := cmp.Diff(want, deeds(w)); diff != "" {
		t.Errorf("recorded in the end (-want +got):\n%s", diff)
	}
}

// TestSteerDropsOutdatedPlans looks at what becomes of a plan that never ran when the spec changes.
func TestSteerDropsOutdatedPlans(t *testing.T) {
	cases := map[string]struct {
		change       func(*meshv1alpha1.MeshInstallation, *meshv1alpha1.MeshUpgrade)
		wantOutdated bool
	}{
		"nothing changed": {change: func(*meshv1alpha1.MeshInstallation, *meshv1alpha1.MeshUpgrade) {}},
		"it may run now": {change: func(i *meshv1alpha1.MeshInstallation, _ *meshv1alpha1.MeshUpgrade) {
			i.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModeRun
		}},
		"it is not complete yet": {change: func(_ *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) {
			u.Status.Phase = meshv1alpha1.UpgradePlanning
		}},
		"its status was never written": {wantOutdated: true, change: func(i *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) {
			u.Status.Phase, i.Spec.Upgrade.Waves = "", []meshv1alpha1.Wave{{Name: "all"}}
		}},
		"other values": {wantOutdated: true, change: func(i *meshv1alpha1.MeshInstallation, _ *meshv1alpha1.MeshUpgrade) {
			i.Spec.ControlPlane.Values = testutil.JSON(map[string]any{"autoscaleMin": 3})
		}},
		"other waves": {wantOutdated: true, change: func(i *meshv1alpha1.MeshInstallation, _ *meshv1alpha1.MeshUpgrade) {
			i.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all"}}
		}},
		"a member more":     {wantOutdated: true, change: func(i *meshv1alpha1.MeshInstallation, _ *meshv1alpha1.MeshUpgrade) { testutil.With("south")(i) }},
		"back to what runs": {wantOutdated: true, change: func(i *meshv1alpha1.MeshInstallation, _ *meshv1alpha1.MeshUpgrade) { i.Spec.Version = older.Version }},
		"a person wants it gone": {wantOutdated: true, change: func(i *meshv1alpha1.MeshInstallation, _ *meshv1alpha1.MeshUpgrade) {
			i.Spec.Upgrade.State = meshv1alpha1.UpgradeStateAbort
		}},
		"a person has aborted it": {change: func(_ *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) {
			annotate(u, meshv1alpha1.UpgradeActionAbort)
		}},
		"a person has aborted it, here and in the spec": {change: func(i *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) {
			annotate(u, meshv1alpha1.UpgradeActionAbort)
			i.Spec.Upgrade.State = meshv1alpha1.UpgradeStateAbort
		}},
		"a person wants it to wait": {change: func(_ *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) {
			annotate(u, meshv1alpha1.UpgradeActionPause)
		}},
		"one that has begun is no plan any more": {change: func(i *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) {
			u.Status.Phase, u.Status.StartedAt = meshv1alpha1.UpgradeRunning, &metav1.Time{Time: epoch}
			i.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all"}}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
			inst.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModePlan
			inst.Status.Revision, inst.Status.EffectiveVersion = older.Name, older.Version
			w := newWorld(t, canaryAndRest()...)
			members := w.stored().Members
			first := upgrade.Next(inst, members, nil)
			if first.Start == nil {
				t.Fatalf("nothing to plan: %+v", first)
			}
			u := first.Start.DeepCopy()
			reread(t, u)
			u.Status.Phase = meshv1alpha1.UpgradePlanned
			c.change(inst, u)
			got := upgrade.Next(inst, members, []meshv1alpha1.MeshUpgrade{*u})
			if (got.Outdated != nil) != c.wantOutdated || (got.Active != nil) == c.wantOutdated || got.IsSuperseded {
				t.Errorf("outdated: %t, active: %t, superseded: %t; want outdated: %t", got.Outdated != nil, got.Active != nil, got.IsSuperseded, c.wantOutdated)
			}
		})
	}
}

// TestSteerKeepsThePlanOfARetry plans another try of what failed, and then takes away what it was asked for with.
func TestSteerKeepsThePlanOfARetry(t *testing.T) {
	inst := plantest.Shop(plantest.Version(newer.Version), plantest.Running(older.Version))
	inst.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModePlan
	members := newWorld(t, canaryAndRest()...).stored().Members
	failed := upgrade.Next(inst, members, nil).Start
	failed.Status = meshv1alpha1.MeshUpgradeStatus{
		Phase: meshv1alpha1.UpgradeRolledBack, Cause: meshv1alpha1.CauseFailed, CauseDetail: "it broke", StartedAt: &metav1.Time{Time: epoch},
	}
	if got := upgrade.Next(inst, members, []meshv1alpha1.MeshUpgrade{*failed}); got.Reason != meshv1alpha1.ReasonUpgradeFailed {
		t.Fatalf("after a failure: %+v", got)
	}
	retried := *failed.DeepCopy()
	annotate(&retried, meshv1alpha1.UpgradeActionRetry)
	again := upgrade.Next(inst, members, []meshv1alpha1.MeshUpgrade{retried}).Start
	if again == nil || again.Name == failed.Name || !cmp.Equal(again.Spec.To, failed.Spec.To) {
		t.Fatalf("the retry is %+v", again)
	}
	if want := (&meshv1alpha1.UpgradeRetry{Of: failed.Name, By: meshv1alpha1.ByAnnotation}); !cmp.Equal(again.Spec.Retry, want) {
		t.Errorf("the retry says %+v, want %+v", again.Spec.Retry, want)
	}
	if a, b := planHash(again.Spec, nil), planHash(failed.Spec, nil); a != b {
		t.Errorf("the plan's hash was %s and is %s", b, a)
	}
	again.Status.Phase = meshv1alpha1.UpgradePlanned
	cases := map[string]struct {
		history      []meshv1alpha1.MeshUpgrade
		change       plantest.Option
		wantOutdated bool
	}{
		"nothing changed":           {history: []meshv1alpha1.MeshUpgrade{retried, *again}},
		"the annotation is gone":    {history: []meshv1alpha1.MeshUpgrade{*failed, *again}},
		"the old record is pruned":  {history: []meshv1alpha1.MeshUpgrade{*again}},
		"the spec asks for another": {history: []meshv1alpha1.MeshUpgrade{*failed, *again}, change: plantest.Attempt(1), wantOutdated: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			now := inst.DeepCopy()
			if c.change != nil {
				c.change(now)
			}
			got := upgrade.Next(now, members, c.history)
			if (got.Outdated != nil) != c.wantOutdated || (got.Active != nil) == c.wantOutdated {
				t.Errorf("outdated: %t, active: %t; want outdated: %t", got.Outdated != nil, got.Active != nil, c.wantOutdated)
			}
		})
	}
}

// TestRetryOf looks at what counts as another try because a person asked for that.
func TestRetryOf(t *testing.T) {
	inst := plantest.Shop(plantest.Version(newer.Version), plantest.Running(older.Version), plantest.Attempt(2))
	members := newWorld(t, canaryAndRest()...).stored().Members
	record := func(name string, n int32, order meshv1alpha1.UpgradeAction, phase meshv1alpha1.UpgradePhase, cause meshv1alpha1.UpgradeCause) meshv1alpha1.MeshUpgrade {
		then := inst.DeepCopy()
		plantest.Attempt(n)(then)
		u := upgrade.Next(then, members, nil).Start
		u.Name, u.Status.Phase, u.Status.Cause = name, phase, cause
		annotate(u, order)
		return *u
	}
	another := record("another", 1, "", rolledBack, meshv1alpha1.CauseFailed)
	another.Spec.To.SharedHash = "another"
	retry := meshv1alpha1.UpgradeActionRetry
	cases := map[string]struct {
		history []meshv1alpha1.MeshUpgrade
		want    string
	}{
		"no record":                       {},
		"another target failed":           {history: []meshv1alpha1.MeshUpgrade{another}},
		"a former attempt failed":         {history: []meshv1alpha1.MeshUpgrade{record("a", 0, "", rolledBack, meshv1alpha1.CauseFailed)}, want: "a by spec.upgrade.attempt"},
		"a former attempt was rejected":   {history: []meshv1alpha1.MeshUpgrade{record("a", 1, "", rolledBack, meshv1alpha1.CauseRejected), another}, want: "a by spec.upgrade.attempt"},
		"a former attempt was aborted":    {history: []meshv1alpha1.MeshUpgrade{record("a", 1, "", rolledBack, meshv1alpha1.CauseAborted)}, want: "a by spec.upgrade.attempt"},
		"a former attempt stopped":        {history: []meshv1alpha1.MeshUpgrade{record("a", 1, "", stopped, meshv1alpha1.CauseFailed)}, want: "a by spec.upgrade.attempt"},
		"a former attempt was superseded": {history: []meshv1alpha1.MeshUpgrade{record("a", 1, "", rolledBack, meshv1alpha1.CauseSuperseded)}},
		"a former attempt succeeded":      {history: []meshv1alpha1.MeshUpgrade{record("a", 1, "", succeeded, "")}},
		"the newest counts": {history: []meshv1alpha1.MeshUpgrade{
			record("a", 1, "", rolledBack, meshv1alpha1.CauseFailed), record("b", 2, "", rolledBack, meshv1alpha1.CauseAborted)}},
		"the same attempt failed and is ordered again":      {history: []meshv1alpha1.MeshUpgrade{record("a", 2, retry, rolledBack, meshv1alpha1.CauseFailed)}, want: "a by annotation"},
		"the same attempt was aborted and is ordered again": {history: []meshv1alpha1.MeshUpgrade{record("a", 2, retry, rolledBack, meshv1alpha1.CauseAborted)}, want: "a by annotation"},
		"an order for what was superseded is none":          {history: []meshv1alpha1.MeshUpgrade{record("a", 2, retry, rolledBack, meshv1alpha1.CauseSuperseded)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if r := upgrade.RetryOf(inst, members, c.history); r != nil {
				got = r.Of + " by " + r.By
			}
			if got != c.want {
				t.Errorf("it tries %q again, want %q", got, c.want)
			}
		})
	}
}
