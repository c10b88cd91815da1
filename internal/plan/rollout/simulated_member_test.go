package rollout

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// behaviour is how a member plays its part. By default every stage takes two ticks, but for the preflight, which is done at
// once, and comes out well.
type behaviour struct {
	ticks                                map[meshv1alpha1.Stage]int
	fails, puzzled, cutOff, hang, silent meshv1alpha1.Stage
	// back is after how many ticks a member that was cut off, puzzled, hanging or silent is well again. Zero: never.
	back int
	// then is how many ticks more a member needs that was puzzled.
	then int
	// every is after how many ticks another workload has moved, of so many.
	every, workloads int

	cut  time.Time
	over bool
}

// join adds a member at the old revision.
func (w *world) join(name string) {
	w.members = append(w.members, testutil.Member(name, func(m *meshv1alpha1.MeshMember) {
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod"}}
		plan.Content(&m.Spec, older, newer, meshv1alpha1.StageDiscard)
		m.Status.Trust.RootFingerprints = []string{"root"}
		setReachable(m, true, w.now)
	}))
	slices.SortFunc(w.members, func(a, b *meshv1alpha1.MeshMember) int { return strings.Compare(a.Name, b.Name) })
	w.behaviour[name] = &behaviour{}
	w.changed = true
}

func (w *world) leave(name string) {
	w.members = slices.DeleteFunc(w.members, func(m *meshv1alpha1.MeshMember) bool { return m.Spec.Cluster == name })
	w.changed = true
}

func (w *world) member(name string) *meshv1alpha1.MeshMember {
	i := slices.IndexFunc(w.members, func(m *meshv1alpha1.MeshMember) bool { return m.Spec.Cluster == name })
	if i < 0 {
		return nil
	}
	return w.members[i]
}

func setReachable(m *meshv1alpha1.MeshMember, yes bool, now time.Time) {
	status := metav1.ConditionFalse
	if yes {
		status = metav1.ConditionTrue
	}
	m.Status.Conditions = []metav1.Condition{{
		Type: meshv1alpha1.ConditionReachable, Status: status, LastTransitionTime: metav1.NewTime(now),
	}}
}

func isReachable(m *meshv1alpha1.MeshMember) bool {
	return m.Status.Conditions[0].Status == metav1.ConditionTrue
}

// act lets a member do and report what is ordered.
func (w *world) act(m *meshv1alpha1.MeshMember) {
	before := m.Status.DeepCopy()
	defer func() { w.changed = w.changed || !equality.Semantic.DeepEqual(*before, m.Status) }()
	b, order := w.behaviour[m.Spec.Cluster], m.Spec.Rollout
	if order != nil && order.Stage == b.cutOff && isReachable(m) && !b.over {
		b.over, b.cut = true, w.now
		w.say("%s cannot be reached", m.Spec.Cluster)
		setReachable(m, false, w.now)
	}
	if !b.cut.IsZero() && b.back > 0 && w.now.Sub(b.cut) >= time.Duration(b.back)*tick {
		b.cut = time.Time{}
		w.say("%s can be reached again", m.Spec.Cluster)
		setReachable(m, true, w.now)
	}
	if !isReachable(m) && w.mute {
		return
	}
	if order == nil {
		m.Status.Rollout = nil
		return
	}
	if quiet := w.now.Sub(order.OrderedAt.Time); order.Stage == b.silent && (b.back == 0 || quiet < time.Duration(b.back)*tick) {
		return
	}
	s := m.Status.Rollout
	if s == nil || s.Upgrade != order.Upgrade || s.Stage != order.Stage {
		m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{
			Upgrade: order.Upgrade, Stage: order.Stage, State: meshv1alpha1.StageProgressing, Since: metav1.NewTime(w.now),
		}
		if s = m.Status.Rollout; s.Stage != meshv1alpha1.StagePreflight {
			return
		}
	}
	if isReachable(m) {
		w.perform(b, s)
	}
}

// perform decides how the stage of a member stands.
func (w *world) perform(b *behaviour, s *meshv1alpha1.MemberRolloutStatus) {
	need := 2
	if s.Stage == meshv1alpha1.StagePreflight {
		need = 0
	}
	if n, ok := b.ticks[s.Stage]; ok {
		need = n
	}
	took := int(w.now.Sub(s.Since.Time) / tick)
	if b.every > 0 && s.Stage == meshv1alpha1.StageWorkloads {
		need = b.every * b.workloads
		if moved := int32(min(took/b.every, b.workloads)); moved > s.Progress.Workloads { //nolint:gosec // small
			s.Progress = meshv1alpha1.StageProgress{At: &metav1.Time{Time: w.now}, Workloads: moved}
		}
	}
	isIll := b.back == 0 || took < b.back
	gate := meshv1alpha1.GateResult{Name: "ConfigDiff", Verdict: meshv1alpha1.VerdictPass, Message: "nothing lost", Since: s.Since}
	state := meshv1alpha1.StageDone
	switch {
	case took < need, b.hang == s.Stage && isIll:
		return
	case b.fails == s.Stage:
		state, gate.Verdict, gate.Message = meshv1alpha1.StageFailed, meshv1alpha1.VerdictFail, "2 listeners lost"
	case b.puzzled == s.Stage && isIll:
		state, gate.Verdict, gate.Message = meshv1alpha1.StageInconclusive, meshv1alpha1.VerdictInconclusive, "no proxy to compare"
	case b.puzzled == s.Stage && took < b.back+b.then:
		state, gate.Since = meshv1alpha1.StageProgressing, metav1.NewTime(s.Since.Add(time.Duration(b.back)*tick))
	}
	if state == meshv1alpha1.StageDone && s.State != state {
		s.DoneAt = &metav1.Time{Time: w.now}
	}
	s.State, s.Gates = state, []meshv1alpha1.GateResult{gate}
	if s.Stage == meshv1alpha1.StagePreflight && state != meshv1alpha1.StageFailed {
		s.Changes = meshv1alpha1.ObjectChanges{Hash: "objects", Added: meshv1alpha1.Sample{Count: 3}, Removed: meshv1alpha1.Sample{Count: 2}}
		s.Forecast = meshv1alpha1.RolloutForecast{Restarts: meshv1alpha1.Sample{Count: 4}, Pods: 9}
	}
}
