package rollout

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// tick is how far the world moves in a step.
const tick = time.Minute

var (
	epoch        = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	older, newer = plantest.Older, plantest.Newer
)

// event is what somebody does to the world at a time.
type event struct {
	at   int // ticks
	what string
	do   func(*world)
}

// world is a hub with its members, and the people before it.
type world struct {
	t         *testing.T
	now       time.Time
	upgrade   *meshv1alpha1.MeshUpgrade
	members   []*meshv1alpha1.MeshMember
	approvals []meshv1alpha1.MeshApproval
	state     meshv1alpha1.UpgradeState
	peers     meshv1alpha1.UnreachablePeers
	// isSuperseded says that the spec asks for something else, isTakenBack that this is what the upgrade came from.
	isSuperseded, isTakenBack bool
	holds                     upgrade.Holds
	// kept is what each member ran that was held before it had started in an upgrade.
	kept      map[string]kept
	behaviour map[string]*behaviour
	events    []event
	// crash says whether the operator is killed before its next order, forget whether a pass loses the status it wrote.
	crash, forget func() bool
	// mute says that nobody answers for a member that cannot be reached. Else the hub takes note of its orders.
	mute bool
	// random is the order in which members act. Nil: by name.
	random *rand.Rand

	wake    time.Time
	changed bool
	log     strings.Builder
	told    string
	touched map[string]bool
	// late are the members that were away in the middle of a change and have not caught up.
	late map[string]bool
	// last is what each member was ordered last.
	last map[string]meshv1alpha1.Stage
}

func never() bool { return false }

func newWorld(t *testing.T, waves ...meshv1alpha1.PlannedWave) *world {
	w := &world{
		t: t, now: epoch, state: meshv1alpha1.UpgradeStateRun, behaviour: map[string]*behaviour{}, changed: true,
		touched: map[string]bool{}, late: map[string]bool{}, last: map[string]meshv1alpha1.Stage{}, crash: never, forget: never,
	}
	w.upgrade = &meshv1alpha1.MeshUpgrade{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-1", Namespace: testutil.Namespace},
		Spec: meshv1alpha1.MeshUpgradeSpec{
			Installation: testutil.Mesh, Waves: waves, OnFailure: meshv1alpha1.FailureActionRollback,
			From: meshv1alpha1.RevisionTarget{Revision: older.Name, Version: older.Version},
			To:   meshv1alpha1.RevisionTarget{Revision: newer.Name, Version: newer.Version, SharedHash: mesh.RevisionHash(newer)},
		},
	}
	for i := range waves {
		for _, name := range waves[i].Members {
			w.join(name)
		}
	}
	return w
}

// wave is a wave of one at a time, which soaks for five ticks and fails a stage after ten.
func wave(name string, members ...string) meshv1alpha1.PlannedWave {
	return meshv1alpha1.PlannedWave{
		Name: name, Members: members, MaxConcurrent: 1, Soak: metav1.Duration{Duration: 5 * tick},
		ProgressDeadline: metav1.Duration{Duration: 10 * tick}, Approval: meshv1alpha1.ApprovalNotRequired,
	}
}

// stored are the objects as the API server gives them back, so that nothing is decided from what only the operator's
// memory has. Copies are enough in random order.
func (w *world) stored() Input {
	in := Input{
		Upgrade: w.upgrade.DeepCopy(), Approvals: slices.Clone(w.approvals), State: w.state, UnreachablePeers: w.peers, Now: w.now,
		IsSuperseded: w.isSuperseded, IsTakenBack: w.isTakenBack, Holds: maps.Clone(w.holds),
	}
	for _, m := range w.members {
		in.Members = append(in.Members, *m.DeepCopy())
	}
	if w.random == nil {
		reread(w.t, &in.Upgrade)
		reread(w.t, &in.Approvals)
		reread(w.t, &in.Members)
	}
	return in
}

func reread[T any](t *testing.T, object *T) {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var fresh T
	if err := json.Unmarshal(raw, &fresh); err != nil {
		t.Fatal(err)
	}
	*object = fresh
}

// pass is one reconciliation on the hub. It says whether it wrote anything.
func (w *world) pass() bool {
	in := w.stored()
	d := Next(in)
	w.checkDecision(in, d)
	w.changed = false
	if w.wake = (time.Time{}); d.After > 0 {
		w.wake = w.now.Add(d.After)
	}
	before := w.upgrade.Status
	wrote := !equality.Semantic.DeepEqual(before, d.Status)
	w.store(d.Status)
	wrote = w.ask(d.Approvals) || wrote
	for _, m := range w.members {
		stage := d.Orders[m.Spec.Cluster]
		former := meshv1alpha1.Stage("")
		if m.Spec.Rollout != nil {
			former = m.Spec.Rollout.Stage
		}
		if stage == former {
			continue
		}
		wrote = true
		if w.crash() {
			w.changed = true
			break
		}
		w.give(m, former, stage)
	}
	w.checkWorld()
	if wrote && w.forget() {
		w.upgrade.Status, w.changed = before, true
	}
	return wrote
}

// ask makes the questions of waves exist. It says whether one is new.
func (w *world) ask(requests []Request) (isNew bool) {
	for _, r := range requests {
		if !slices.ContainsFunc(w.approvals, func(a meshv1alpha1.MeshApproval) bool { return a.Name == r.Name }) {
			isNew = true
			w.approvals = append(w.approvals, meshv1alpha1.MeshApproval{
				ObjectMeta: metav1.ObjectMeta{Name: r.Name},
				Spec: meshv1alpha1.MeshApprovalSpec{
					UpgradeRef: meshv1alpha1.UpgradeRef{Name: w.upgrade.Name, UID: w.upgrade.UID}, Wave: r.Wave, Decision: meshv1alpha1.DecisionPending,
				},
			})
		}
	}
	return isNew
}

// give writes a work order.
func (w *world) give(m *meshv1alpha1.MeshMember, before, stage meshv1alpha1.Stage) {
	w.checkTransition(m, before, stage)
	if stage == "" {
		// Without an order a member keeps the revision that its namespaces get.
		m.Spec.Rollout, m.Spec.Revisions = nil, []meshv1alpha1.Revision{mesh.RunningRevision(m)}
		m.Spec.GatewayRevision = m.Spec.DefaultRevision
		return
	}
	w.say("%s → %s", m.Spec.Cluster, stage)
	w.last[m.Spec.Cluster] = stage
	if stage != meshv1alpha1.StagePreflight {
		w.touched[m.Spec.Cluster] = true
	}
	m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: w.upgrade.Name, From: older, To: newer, Stage: stage, OrderedAt: metav1.NewTime(w.now)}
	plan.Content(&m.Spec, older, newer, stage)
}

// run moves the world on until the upgrade is finished, or for some ticks. The hub looks only when something changed or
// the time that it asked for has come.
func (w *world) run(ticks int) {
	start := w.now
	for range ticks {
		for _, e := range w.events {
			if w.now.Equal(epoch.Add(time.Duration(e.at) * tick)) {
				if w.changed = true; e.what != "" {
					w.say("— %s —", e.what)
				}
				e.do(w)
			}
		}
		for _, i := range w.order(len(w.members)) {
			w.act(w.members[i])
			if w.random != nil && w.random.IntN(3) == 0 {
				w.settle(1)
			}
		}
		if w.settle(10); w.upgrade.Status.Phase.IsFinished() {
			return
		}
		w.now = w.now.Add(tick)
	}
	w.say("still %s after %s", w.upgrade.Status.Phase, w.now.Sub(start))
}

func (w *world) settle(passes int) {
	for range passes {
		if isDue := !w.wake.IsZero() && !w.now.Before(w.wake); !w.changed && !isDue {
			return
		}
		w.changed = w.pass() || w.changed
	}
}

func (w *world) order(n int) []int {
	if w.random != nil {
		return w.random.Perm(n)
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func (w *world) say(format string, args ...any) {
	since := int(w.now.Sub(epoch) / tick)
	fmt.Fprintf(&w.log, "%02d:%02d  %s\n", since/60, since%60, fmt.Sprintf(format, args...))
}

// store writes the upgrade's status.
func (w *world) store(s meshv1alpha1.MeshUpgradeStatus) {
	w.checkRecord(w.upgrade.Status.Interventions, s.Interventions)
	w.checkFailed(w.upgrade.Status, s)
	w.upgrade.Status = s
	w.tell()
}

// tell writes the upgrade's status down when it changed.
func (w *world) tell() {
	s := w.upgrade.Status
	var counts []string
	for _, c := range s.Waves {
		text := fmt.Sprintf("%s %d/%d/%d", c.Name, c.Moved, c.Finished, c.Total)
		if c.Failed > 0 {
			text += fmt.Sprintf(" failed %d", c.Failed)
		}
		counts = append(counts, text)
	}
	if text := fmt.Sprintf("[%s] %s | %s", s.Phase, s.Message, strings.Join(counts, ", ")); text != w.told {
		w.told = text
		w.say("%s", text)
	}
}
