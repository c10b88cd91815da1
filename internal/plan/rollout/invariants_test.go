package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
)

// violated ends a run with its story.
func (w *world) violated(format string, args ...any) {
	w.t.Helper()
	w.t.Logf("the run so far:\n%s", w.log.String())
	w.t.Fatalf(format, args...)
}

// checkDecision checks what holds of any decision: it changes nothing that it is given, the same input gives the same,
// objects that went through the API server give what those in memory give, and it is a fixpoint.
func (w *world) checkDecision(in Input, d Decision) {
	w.t.Helper()
	if before := w.stored(); !equality.Semantic.DeepEqual(before.Members, in.Members) ||
		!equality.Semantic.DeepEqual(before.Upgrade, in.Upgrade) || !equality.Semantic.DeepEqual(before.Approvals, in.Approvals) {
		w.violated("deciding changed its input (-before +after):\n%s", cmp.Diff(before, in))
	}
	fresh := Input{
		Upgrade: w.upgrade.DeepCopy(), Approvals: slices.Clone(w.approvals), State: w.state, UnreachablePeers: w.peers, Now: w.now,
		IsSuperseded: w.isSuperseded, IsTakenBack: w.isTakenBack, Holds: w.holds,
	}
	for _, m := range w.members {
		fresh.Members = append(fresh.Members, *m)
	}
	slices.Reverse(fresh.Members)
	if other := Next(fresh); !equality.Semantic.DeepEqual(d, other) {
		w.violated("another decision from the same world (-stored +in memory):\n%s", cmp.Diff(d, other))
	}
	in.Upgrade.Status = d.Status
	again := Next(in)
	if d.Status.Phase.IsFinished() {
		again.Orders, again.After, again.Reason = d.Orders, d.After, d.Reason
	}
	if !equality.Semantic.DeepEqual(d, again) {
		w.violated("no fixpoint (-first +second):\n%s", cmp.Diff(d, again))
	}
	if d.After < 0 || d.Status.Phase == "" || d.Status.Message == "" || d.Reason == "" {
		w.violated("incomplete decision: %+v", d)
	}
	standsStill := d.Status.Phase == meshv1alpha1.UpgradePaused || d.Status.Phase == meshv1alpha1.UpgradeWaitingForApproval
	if standsStill != (d.Hold.Reason != "") {
		w.violated("the upgrade is %s, and the reason to wait for a person is %q", d.Status.Phase, d.Hold.Reason)
	}
}

// checkRecord checks that what people did is written down once, in order, and never changed; and writes down what is new.
func (w *world) checkRecord(before, after []meshv1alpha1.Intervention) {
	w.t.Helper()
	kept := min(len(before), len(after))
	for kept > 0 && !equality.Semantic.DeepEqual(before[len(before)-kept:], after[:kept]) {
		kept--
	}
	if isDropped := kept < len(before); len(after) > keptInterventions || isDropped && len(after) < keptInterventions {
		w.violated("the record of interventions was changed (-before +after):\n%s", cmp.Diff(before, after))
	}
	for i, what := range after[kept:] {
		w.say("recorded: %s", strings.TrimSpace(fmt.Sprintf("%s by %s %s", what.Action, what.By, what.Wave)))
		if !what.At.Time.Equal(w.now.Truncate(time.Second)) {
			w.violated("at %s an intervention is recorded as of %s", w.now, what.At)
		}
		w.checkIntervention(after[:kept+i], what)
	}
}

// checkIntervention checks that what is recorded can follow what was recorded before.
func (w *world) checkIntervention(before []meshv1alpha1.Intervention, what meshv1alpha1.Intervention) {
	w.t.Helper()
	last := meshv1alpha1.Intervention{}
	for _, i := range before {
		switch i.Action {
		case meshv1alpha1.ActionPause, meshv1alpha1.ActionResume, meshv1alpha1.ActionAbort:
			last = i
		}
		isOnce := what.Action != meshv1alpha1.ActionPause && what.Action != meshv1alpha1.ActionResume
		if isOnce && i.Action == what.Action && i.Wave == what.Wave {
			w.violated("%s of wave %q is recorded twice: %+v", what.Action, what.Wave, before)
		}
	}
	switch {
	case what.By == "", what.By == "MeshApproval ":
		w.violated("%s is recorded by nobody", what.Action)
	case what.Action == meshv1alpha1.ActionResume && (last.Action != meshv1alpha1.ActionPause || last.By != what.By):
		w.violated("%s resumes what %s by %s has ended", what.By, last.Action, last.By)
	case what.Action == meshv1alpha1.ActionPause && last.Action == meshv1alpha1.ActionPause && last.By == what.By:
		w.violated("a pause by %s is recorded twice", what.By)
	}
}

// following are the stages that may follow one another, and whether the former must be done.
var following = map[meshv1alpha1.Stage]meshv1alpha1.Stage{
	meshv1alpha1.StageGateways:  meshv1alpha1.StageInstall,
	meshv1alpha1.StageWorkloads: meshv1alpha1.StageGateways,
	meshv1alpha1.StageSoak:      meshv1alpha1.StageWorkloads,
	meshv1alpha1.StageRetire:    meshv1alpha1.StageSoak,
	meshv1alpha1.StageDiscard:   meshv1alpha1.StageRollback,
}

// checkTransition checks that no member skips a stage, that none starts without a place in its wave's budget, and that
// the old revision is there until its wave has soaked.
func (w *world) checkTransition(m *meshv1alpha1.MeshMember, before, stage meshv1alpha1.Stage) {
	w.t.Helper()
	name, phase := m.Spec.Cluster, w.upgrade.Status.Phase
	switch stage {
	case "":
		if !phase.IsFinished() && (before != meshv1alpha1.StagePreflight || !w.holds.Has(name)) {
			w.violated("%s is released from %s while the upgrade is %s", name, before, phase)
		}
		return
	case meshv1alpha1.StagePreflight:
		if before != "" {
			w.violated("%s is looked at after %s", name, before)
		}
		return
	case meshv1alpha1.StageInstall:
		w.checkStart(m, before)
		planned := w.waveOf(name)
		if n := w.changing(planned, true); n >= int(planned.MaxConcurrent) {
			w.violated("%s starts while %d members of its wave change", name, n)
		}
		w.checkWindow(planned, name)
		return
	case meshv1alpha1.StageRollback:
		if slices.Contains([]meshv1alpha1.Stage{"", meshv1alpha1.StagePreflight, meshv1alpha1.StageDiscard}, before) {
			w.violated("%s goes back after %q", name, before)
		}
		w.checkSuperseded(m, before)
		return
	}
	s := m.Status.Rollout
	if before != following[stage] || s == nil || s.Stage != before || s.State != meshv1alpha1.StageDone {
		w.violated("%s is ordered %s after %s, reported as %+v", name, stage, before, s)
	}
	if stage == meshv1alpha1.StageRetire {
		planned := w.waveOf(name)
		i := slices.IndexFunc(w.upgrade.Status.Waves, func(s meshv1alpha1.WaveStatus) bool { return s.Name == planned.Name })
		since := w.upgrade.Status.Waves[i].SoakingSince
		if since == nil || w.now.Before(since.Add(planned.Soak.Duration)) {
			w.violated("%s loses the old revision before its wave has soaked, which began %s", name, since)
		}
	}
}

// checkStart checks that a member begins only when its preflight has passed, that the first one begins when those of all
// have, and that nobody begins while somebody who serves cannot be reached.
func (w *world) checkStart(m *meshv1alpha1.MeshMember, before meshv1alpha1.Stage) {
	w.t.Helper()
	passed := func(m *meshv1alpha1.MeshMember) bool {
		s := m.Status.Rollout
		return s != nil && s.Stage == meshv1alpha1.StagePreflight && s.State == meshv1alpha1.StageDone
	}
	if phase := w.upgrade.Status.Phase; before != meshv1alpha1.StagePreflight || phase != meshv1alpha1.UpgradeRunning || !passed(m) {
		w.violated("%s starts after %q, reported as %+v, while the upgrade is %s", m.Spec.Cluster, before, m.Status.Rollout, phase)
	}
	for _, o := range w.members {
		isPlanned := slices.ContainsFunc(w.upgrade.Spec.Waves, func(p meshv1alpha1.PlannedWave) bool { return slices.Contains(p.Members, o.Spec.Cluster) })
		isFailed := slices.Contains(w.upgrade.Status.Failed, o.Spec.Cluster)
		isThere := len(o.Spec.Revisions) == 1 && o.Spec.Revisions[0].Name == newer.Name
		if len(w.touched) == 0 && isPlanned && !isFailed && !isThere && !w.holds.Has(o.Spec.Cluster) && isReachable(o) && !passed(o) {
			w.violated("%s starts first, before the preflight of %s has passed: %+v", m.Spec.Cluster, o.Spec.Cluster, o.Status.Rollout)
		}
		if w.peers != meshv1alpha1.UnreachablePeersIgnore && !isReachable(o) && !isFailed && !w.isLeftBehind(o) {
			w.violated("%s starts while %s cannot be reached", m.Spec.Cluster, o.Spec.Cluster)
		}
	}
}

// checkSuperseded checks that a member which has moved is not taken back because the spec asks for another target.
func (w *world) checkSuperseded(m *meshv1alpha1.MeshMember, before meshv1alpha1.Stage) {
	w.t.Helper()
	s, r := w.upgrade.Status, m.Status.Rollout
	hasMoved := before == meshv1alpha1.StageSoak || before == meshv1alpha1.StageRetire
	isFailed := slices.Contains(s.Failed, m.Spec.Cluster) || r != nil && r.Stage == before && r.State == meshv1alpha1.StageFailed
	if s.Cause == meshv1alpha1.CauseSuperseded && s.Phase != meshv1alpha1.UpgradeRollingBack && hasMoved && !isFailed {
		w.violated("%s is taken back from %s by another target", m.Spec.Cluster, before)
	}
}

// checkFailed checks that whoever is newly recorded as failed has reported it, or could be asked and made no progress for
// its deadline: no silence fails a member.
func (w *world) checkFailed(before, after meshv1alpha1.MeshUpgradeStatus) {
	w.t.Helper()
	for _, name := range after.Failed {
		m := w.member(name)
		if m == nil || slices.Contains(before.Failed, name) {
			continue
		}
		o, s := m.Spec.Rollout, m.Status.Rollout
		if o != nil && (o.Stage == meshv1alpha1.StageRollback || o.Stage == meshv1alpha1.StageDiscard) {
			continue // the record was lost, the order was not
		}
		isReported := s != nil && o != nil && s.Stage == o.Stage
		deadline := w.waveOf(name).ProgressDeadline.Duration
		isSlow := isReported && s.State == meshv1alpha1.StageProgressing && isReachable(m) &&
			w.now.Sub(s.Since.Time) >= deadline && w.now.Sub(m.Status.Conditions[0].LastTransitionTime.Time) >= deadline &&
			(s.Progress.At == nil || w.now.Sub(s.Progress.At.Time) >= deadline)
		for _, o := range w.members {
			// Others may wait for who cannot be reached.
			isSlow = isSlow && (isReachable(o) || w.peers == meshv1alpha1.UnreachablePeersIgnore || w.isLeftBehind(o) || slices.Contains(before.Failed, o.Spec.Cluster))
		}
		if !isSlow && (!isReported || s.State != meshv1alpha1.StageFailed) {
			w.violated("%s is recorded as failed, but has not reported that: %+v", name, s)
		}
	}
}

// isAway says whether nothing was heard of a member for its wave's deadline.
func (w *world) isAway(m *meshv1alpha1.MeshMember) bool {
	since := m.Status.Conditions[0].LastTransitionTime.Time
	isSilent := !isReachable(m)
	if o, s := m.Spec.Rollout, m.Status.Rollout; o != nil {
		since = later(since, o.OrderedAt.Time)
		isSilent = isSilent || o.Stage != meshv1alpha1.StagePreflight && (s == nil || s.Stage != o.Stage)
	}
	return isSilent && w.now.Sub(since) >= w.waveOf(m.Spec.Cluster).ProgressDeadline.Duration
}

// isLeftBehind says whether a wave may go on without a member: with it, no more failed than may.
func (w *world) isLeftBehind(m *meshv1alpha1.MeshMember) bool {
	planned := w.waveOf(m.Spec.Cluster)
	n := 0
	for _, name := range planned.Members {
		if o := w.member(name); slices.Contains(w.upgrade.Status.Failed, name) || o != nil && w.isAway(o) {
			n++
		}
	}
	return w.isAway(m) && n <= int(planned.MaxFailures)
}

func (w *world) waveOf(name string) *meshv1alpha1.PlannedWave {
	w.t.Helper()
	for i := range w.upgrade.Spec.Waves {
		if slices.Contains(w.upgrade.Spec.Waves[i].Members, name) {
			return &w.upgrade.Spec.Waves[i]
		}
	}
	w.violated("%s is in no wave and must not be touched", name)
	return nil
}

// changing counts the members of a wave that change, with or without those that go back and can be reached, and those that
// were away and catch up. Who is away now does not count.
func (w *world) changing(wave *meshv1alpha1.PlannedWave, withBack bool) (n int) {
	for _, m := range w.members {
		o, s := m.Spec.Rollout, m.Status.Rollout
		if o == nil || !slices.Contains(wave.Members, m.Spec.Cluster) || w.isAway(m) {
			continue
		}
		if !withBack && w.late[m.Spec.Cluster] {
			continue
		}
		switch o.Stage {
		case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads:
			n++
		case meshv1alpha1.StageRollback:
			isDone := s != nil && s.Stage == o.Stage && s.State == meshv1alpha1.StageDone
			if withBack && isReachable(m) && !isDone {
				n++
			}
		}
	}
	return n
}

// checkWorld checks what holds at any time.
func (w *world) checkWorld() {
	w.t.Helper()
	for _, m := range w.members {
		switch o := m.Spec.Rollout; {
		case o == nil, o.Stage == meshv1alpha1.StageSoak, o.Stage == meshv1alpha1.StageRetire:
			delete(w.late, m.Spec.Cluster)
		case o.Stage != meshv1alpha1.StagePreflight && w.isAway(m):
			w.late[m.Spec.Cluster] = true
		}
	}
	w.checkHeld()
	flying := 0
	for i := range w.upgrade.Spec.Waves {
		planned := &w.upgrade.Spec.Waves[i]
		n := w.changing(planned, false)
		if n > int(planned.MaxConcurrent) {
			w.violated("%d members of wave %s change, more than %d", n, planned.Name, planned.MaxConcurrent)
		}
		if n > 0 {
			flying++
		}
	}
	if flying > 1 {
		w.violated("%d waves change at the same time", flying)
	}
	for _, m := range w.members {
		has := func(name string) bool {
			return slices.ContainsFunc(m.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == name })
		}
		if !has(m.Spec.DefaultRevision) || !has(m.Spec.GatewayRevision) || !has(m.Spec.Tags[0].Revision) {
			w.violated("%s follows a revision that is not there: %+v", m.Spec.Cluster, m.Spec)
		}
		isTouched := w.touched[m.Spec.Cluster]
		switch phase := w.upgrade.Status.Phase; {
		case (!isTouched || phase == meshv1alpha1.UpgradeRolledBack) && (has(newer.Name) || !has(older.Name)):
			w.violated("%s runs %v; the upgrade is %s, touched: %t", m.Spec.Cluster, m.Spec.Revisions, phase, isTouched)
		case phase == meshv1alpha1.UpgradeStopped && isTouched && w.isSuperseded:
			// Without an order, each runs alone what it was led to.
			isBack := w.last[m.Spec.Cluster] == meshv1alpha1.StageRollback || w.last[m.Spec.Cluster] == meshv1alpha1.StageDiscard
			if m.Spec.Rollout == nil && (len(m.Spec.Revisions) != 1 || has(older.Name) != isBack) {
				w.violated("%s runs %v after another target, was last ordered %s", m.Spec.Cluster, m.Spec.Revisions, w.last[m.Spec.Cluster])
			}
		case phase == meshv1alpha1.UpgradeStopped && isTouched && w.upgrade.Status.Cause != meshv1alpha1.CauseSuperseded:
			if len(m.Spec.Revisions) != 1 || has(older.Name) != w.isOut(m.Spec.Cluster) {
				w.violated("%s runs %v after a stop, is to go back: %t", m.Spec.Cluster, m.Spec.Revisions, w.isOut(m.Spec.Cluster))
			}
		case phase == meshv1alpha1.UpgradeSucceeded && isTouched:
			isFailed := slices.Contains(w.upgrade.Status.Failed, m.Spec.Cluster)
			if len(m.Spec.Revisions) != 1 || has(older.Name) != isFailed {
				w.violated("%s runs %v after success, failed: %t", m.Spec.Cluster, m.Spec.Revisions, isFailed)
			}
		}
	}
}

// isOut says whether a member that was touched must be back when the upgrade has stopped: it failed, or its wave did and
// that is the scope.
func (w *world) isOut(name string) bool {
	failed := 0
	planned := w.waveOf(name)
	for _, other := range w.upgrade.Status.Failed {
		if other == name {
			return true
		}
		if slices.Contains(planned.Members, other) {
			failed++
		}
	}
	return w.upgrade.Spec.RollbackScope == meshv1alpha1.RollbackScopeWave && failed > int(planned.MaxFailures)
}

func TestContent(t *testing.T) {
	type content struct {
		Revisions                []string
		Default, Gateway, Tagged string
	}
	o, n := older.Name, newer.Name
	for stage, want := range map[meshv1alpha1.Stage]content{
		meshv1alpha1.StagePreflight: {[]string{o}, o, o, o},
		meshv1alpha1.StageInstall:   {[]string{o, n}, o, o, o},
		meshv1alpha1.StageGateways:  {[]string{o, n}, o, n, o},
		meshv1alpha1.StageWorkloads: {[]string{o, n}, n, n, n},
		meshv1alpha1.StageSoak:      {[]string{o, n}, n, n, n},
		meshv1alpha1.StageRetire:    {[]string{n}, n, n, n},
		meshv1alpha1.StageRollback:  {[]string{o, n}, o, o, o},
		meshv1alpha1.StageDiscard:   {[]string{o}, o, o, o},
	} {
		t.Run(string(stage), func(t *testing.T) {
			spec := meshv1alpha1.MeshMemberSpec{Tags: []meshv1alpha1.Tag{{Name: "prod"}}}
			plan.Content(&spec, older, newer, stage)
			got := content{Default: spec.DefaultRevision, Gateway: spec.GatewayRevision, Tagged: spec.Tags[0].Revision}
			for _, r := range spec.Revisions {
				got.Revisions = append(got.Revisions, r.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
		})
	}
}
