package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// life is a mesh through several upgrades: people edit its spec, and the hub does all that it decides.
type life struct {
	*world
	inst    *meshv1alpha1.MeshInstallation
	history []*meshv1alpha1.MeshUpgrade
	pruned  []*meshv1alpha1.MeshUpgrade
	table   istioversion.Table
	edits   []edit
	stuck   string
	// gone is when a member that leaves is gone.
	gone map[string]time.Time
	// clusters are what is installed in each.
	clusters map[string]*cluster
}

// edit is what somebody does to the mesh at a time.
type edit struct {
	at   int // ticks
	what string
	do   func(*life)
}

// newLife is a mesh that serves at the older version, with the members east and west.
func newLife(t *testing.T, options ...plantest.Option) *life {
	l := &life{
		table: istioversion.Packaged(),
		inst:  plantest.Shop(append([]plantest.Option{plantest.Version(older.Version), plantest.Running(older.Version)}, options...)...), gone: map[string]time.Time{}, clusters: map[string]*cluster{},
		world: &world{
			t: t, now: epoch, behaviour: map[string]*behaviour{}, touched: map[string]bool{}, late: map[string]bool{}, changed: true, crash: never, forget: never,
		},
	}
	l.write(nil)
	return l
}

// write makes the members' work orders.
func (l *life) write(run *plan.Run) (wrote bool) {
	p, err := plan.Members(l.inst, l.copies(), run)
	if err != nil {
		l.violated("members cannot be planned: %v", err)
	}
	for i := range p.Desired {
		want := &p.Desired[i]
		m := l.member(want.Spec.Cluster)
		if m == nil {
			m = want
			setReachable(m, true, l.now)
			l.members = append(l.members, m)
			if l.behaviour[m.Spec.Cluster] == nil {
				l.behaviour[m.Spec.Cluster] = &behaviour{}
			}
			l.say("%s comes at %s", m.Spec.Cluster, m.Spec.DefaultRevision)
			wrote = true
			continue
		}
		if was, is := stageOf(m), stageOf(want); was != is {
			if is == meshv1alpha1.StageInstall {
				l.checkSkew(want.Spec.Rollout.To.Version, want.Spec.Cluster+" starts")
			}
			wrote = true
			if is != "" {
				l.say("%s → %s", m.Spec.Cluster, is)
			}
			if is == meshv1alpha1.StageRollback {
				l.checkSuperseded(m, was)
			}
		}
		m.Spec = want.Spec
	}
	for i := range p.Leaving {
		m := l.member(p.Leaving[i].Spec.Cluster)
		wrote = wrote || m.Spec.Removal != p.Leaving[i].Spec.Removal
		m.Spec = p.Leaving[i].Spec
	}
	for _, name := range p.Remove {
		i := slices.IndexFunc(l.members, func(m *meshv1alpha1.MeshMember) bool { return m.Name == name })
		if l.members[i].DeletionTimestamp.IsZero() {
			l.members[i].DeletionTimestamp = &metav1.Time{Time: l.now}
			l.gone[name] = l.now.Add(40 * tick)
			wrote = true
		}
	}
	slices.SortFunc(l.members, func(a, b *meshv1alpha1.MeshMember) int { return strings.Compare(a.Name, b.Name) })
	return wrote
}

func stageOf(m *meshv1alpha1.MeshMember) meshv1alpha1.Stage {
	if m.Spec.Rollout == nil {
		return ""
	}
	return m.Spec.Rollout.Stage
}

func (l *life) copies() []meshv1alpha1.MeshMember {
	var out []meshv1alpha1.MeshMember
	for _, m := range l.members {
		out = append(out, *m.DeepCopy())
	}
	return out
}

func (l *life) records() []meshv1alpha1.MeshUpgrade {
	var out []meshv1alpha1.MeshUpgrade
	for _, u := range l.history {
		out = append(out, *u.DeepCopy())
	}
	return out
}

// look is one reconciliation on the hub. It says whether it wrote anything.
func (l *life) look() bool {
	l.changed, l.wake = false, time.Time{}
	l.hold(upgrade.HoldsOf(l.inst))
	before := len(l.log.String())
	c := upgrade.NextIn(l.table, l.inst.DeepCopy(), l.copies(), l.records())
	stuck := ""
	if c.Problem != nil {
		stuck = fmt.Sprintf("[%s] %s", c.Reason, c.Problem)
	}
	if stuck != l.stuck && stuck != "" {
		l.say("%s", stuck)
	}
	l.stuck = stuck
	var run *plan.Run
	switch {
	case c.Start != nil:
		l.say("— %s starts: %s to %s —", c.Start.Name, c.Start.Spec.From.Revision, c.Start.Spec.To.Revision)
		l.history = append(l.history, c.Start)
		l.approvals = nil
		run = l.drive(c.Start, c)
	case c.Active != nil:
		run = l.drive(l.history[len(l.history)-1], c)
	case c.Problem == nil:
		l.inst.Status.Hash = c.Target.Hash
		if slices.ContainsFunc(upgrade.Running(l.copies()), func(r meshv1alpha1.RevisionMembers) bool { return r.Name == c.Target.Revision }) {
			l.inst.Status.Revision, l.inst.Status.EffectiveVersion = c.Target.Revision, c.Target.Version
		}
	}
	return l.write(run) || len(l.log.String()) != before
}

func (l *life) drive(u *meshv1alpha1.MeshUpgrade, c upgrade.Decision) *plan.Run {
	l.upgrade, l.isSuperseded, l.isTakenBack, l.state = u, c.IsSuperseded, c.IsTakenBack, l.inst.Spec.Upgrade.State
	in := l.stored()
	d := Next(in)
	l.checkDecision(in, d)
	if d.After > 0 {
		l.wake = l.now.Add(d.After)
	}
	l.store(d.Status)
	l.ask(d.Approvals)
	if u.Status.Phase == meshv1alpha1.UpgradeSucceeded {
		l.checkSkew(u.Spec.To.Version, u.Name+" succeeds")
		l.inst.Status.Revision, l.inst.Status.EffectiveVersion, l.inst.Status.Hash = u.Spec.To.Revision, u.Spec.To.Version, u.Spec.To.Hash
	}
	if u.Status.Phase.IsFinished() {
		l.changed = true
		return nil
	}
	return &plan.Run{Upgrade: u, Orders: d.Orders, Wanted: c.Wanted, Now: l.now}
}

// live moves the mesh on.
func (l *life) live(ticks int) {
	for n := range ticks {
		for _, e := range l.edits {
			if e.at == n {
				l.changed = true
				l.say("— %s —", e.what)
				e.do(l)
			}
		}
		for _, m := range slices.Clone(l.members) {
			if end, leaves := l.gone[m.Name]; leaves && !l.now.Before(end) {
				delete(l.gone, m.Name)
				l.leave(m.Spec.Cluster)
				continue
			}
			l.act(m)
			l.install(m)
			if mesh.IsLeaving(m) && m.Status.Removal == nil {
				m.Status.Removal, l.changed = &meshv1alpha1.MemberRemovalStatus{}, true
			}
		}
		for range 20 {
			if isDue := !l.wake.IsZero() && !l.now.Before(l.wake); !l.changed && !isDue {
				break
			}
			l.changed = l.look() || l.changed
			l.checkFollowed()
			l.checkHeld()
		}
		l.now = l.now.Add(tick)
	}
	l.say("in the end the mesh runs %s (%s)", l.inst.Status.Revision, l.inst.Status.EffectiveVersion)
	for _, r := range upgrade.Running(l.copies()) {
		l.say("%d members run %s (%s)", r.Members, r.Name, r.Version)
	}
	for _, m := range l.members {
		var names []string
		for _, r := range m.Spec.Revisions {
			names = append(names, fmt.Sprintf("%s (%s)", r.Name, r.Version))
		}
		retiring := ""
		for _, r := range m.Status.Retiring {
			retiring += ", retiring " + r.Name
		}
		l.say("%s runs %s%s", m.Spec.Cluster, strings.Join(names, ", "), retiring)
	}
}

// checkFollowed checks that whatever tags and gateways follow is there, and that every member can be read by every istiod.
func (l *life) checkFollowed() {
	l.t.Helper()
	for _, m := range l.members {
		for _, peer := range l.members {
			for _, r := range peer.Spec.Revisions {
				if m.Spec.Removal != meshv1alpha1.RemovalNow && istioversion.Compare(m.Spec.ReaderVersion, r.Version) < 0 {
					l.violated("%s lets %s read, and %s runs %s", m.Spec.Cluster, m.Spec.ReaderVersion, peer.Spec.Cluster, r.Version)
				}
			}
		}
		for _, name := range []string{m.Spec.DefaultRevision, m.Spec.GatewayRevision} {
			if !slices.ContainsFunc(m.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == name }) {
				l.violated("%s follows %s, which is not there: %+v", m.Spec.Cluster, name, m.Spec.Revisions)
			}
		}
	}
}

// outcomes are the upgrades that there were, as `<revision> <phase> <cause>`.
func (l *life) outcomes() string {
	var out []string
	for _, u := range slices.Concat(l.pruned, l.history) {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", u.Spec.To.Version, u.Status.Phase, u.Status.Cause)))
	}
	return strings.Join(out, ", ")
}

// TestLife plays what people do to a mesh over several upgrades, and writes the story down.
func TestLife(t *testing.T) {
	for name, c := range lives() {
		t.Run(name, func(t *testing.T) {
			l := newLife(t, c.options...)
			if c.set != nil {
				c.set(l)
			}
			l.edits = c.edits
			l.live(400)
			if got := l.outcomes(); got != c.want {
				t.Errorf("upgrades are %q, want %q:\n%s", got, c.want, l.log.String())
			}
			testutil.Golden(t, l.log.String())
		})
	}
}
