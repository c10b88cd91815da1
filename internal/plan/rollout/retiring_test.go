package rollout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// cluster is what a simulated member has installed: revisions by name, and who uses them besides the tags.
type cluster struct {
	installed map[string]meshv1alpha1.Revision
	bare      map[string]bool
}

// keeps lets a pod that nobody restarts use what a member runs, until another one takes its place there.
func keeps(name string) func(*life) {
	return func(l *life) {
		m := l.member(name)
		l.cluster(name).bare = map[string]bool{m.Spec.DefaultRevision: true}
	}
}

// restartsBarePods lets those of a member use what it runs now.
func restartsBarePods(at int, name string) edit {
	return edit{at: at, what: "bare pods of " + name + " are restarted", do: keeps(name)}
}

func (l *life) cluster(name string) *cluster {
	if l.clusters[name] == nil {
		l.clusters[name] = &cluster{installed: map[string]meshv1alpha1.Revision{}}
	}
	return l.clusters[name]
}

// install does what a member's reconciler does with revisions, and checks that none is ever changed in place.
func (l *life) install(m *meshv1alpha1.MeshMember) {
	l.t.Helper()
	if !isReachable(m) {
		return
	}
	before := fmt.Sprint(m.Status.Revisions, m.Status.Retiring)
	c := l.cluster(m.Spec.Cluster)
	known := map[string]meshv1alpha1.RevisionStatus{}
	for _, r := range m.Status.Revisions {
		known[r.Name] = r
	}
	wanted := map[string]bool{}
	m.Status.Revisions = nil
	for _, r := range m.Spec.Revisions {
		if was, isThere := c.installed[r.Name]; isThere && mesh.Difference(was, r) != "" {
			l.violated("%s: revision %s is changed in place: %s", m.Spec.Cluster, r.Name, mesh.Difference(was, r))
		}
		c.installed[r.Name], wanted[r.Name] = r, true
		m.Status.Revisions = append(m.Status.Revisions, meshv1alpha1.RevisionStatus{Name: r.Name, Version: r.Version, Hash: mesh.RevisionHash(r), ReadyReplicas: 1})
	}
	retiring := m.Status.Retiring
	m.Status.Retiring = nil
	for _, name := range slices.Sorted(maps.Keys(c.installed)) {
		switch {
		case wanted[name]:
			continue
		case !c.bare[name]:
			delete(c.installed, name)
			continue
		}
		r := meshv1alpha1.RetiringRevision{Name: name, Version: known[name].Version, Hash: known[name].Hash, Since: metav1.NewTime(l.now)}
		if i := slices.IndexFunc(retiring, func(r meshv1alpha1.RetiringRevision) bool { return r.Name == name }); i >= 0 {
			r = retiring[i]
		}
		m.Status.Retiring = append(m.Status.Retiring, r)
	}
	l.changed = l.changed || before != fmt.Sprint(m.Status.Revisions, m.Status.Retiring)
}

// retiringLives are stories of revisions that stay because something uses them, and of targets that follow one another.
func retiringLives() map[string]lifeCase {
	log := func(v string) any { return plantest.Values{"meshConfig": plantest.Values{"accessLogFile": v}} }
	three := func(inst *meshv1alpha1.MeshInstallation) {
		testutil.With("north")(inst)
		for i, name := range []string{"east", "west", "north"} {
			inst.Spec.Members[i].Labels = map[string]string{"wave": name}
			inst.Spec.Upgrade.Waves = append(inst.Spec.Upgrade.Waves, meshv1alpha1.Wave{
				Name: name, MemberSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"wave": name}},
				Soak: &metav1.Duration{Duration: 5 * tick},
			})
		}
	}
	everywhere := func(l *life) {
		for _, name := range []string{"east", "west", "north"} {
			keeps(name)(l)
		}
	}
	return map[string]lifeCase{
		"a pod that stays in each of three members holds no wave, and the next values start from there": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{edits(0, "one value", plantest.SharedValues(log("/dev/stdout"))), edits(80, "another value", plantest.SharedValues(log("/dev/stderr")))},
			want:  "1.28.3 Succeeded, 1.28.3 Succeeded"},
		"values that go back to what a pod still uses run under its name again": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{edits(0, "one value", plantest.SharedValues(log("/dev/stdout"))), edits(80, "the former value", plantest.SharedValues(nil))},
			want:  "1.28.3 Succeeded, 1.28.3 Succeeded"},
		"other values of a version that a pod still uses get another name": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{wantsVersion(0, "1.29.1"), wantsVersion(80, "1.28.3", plantest.SharedValues(log("/dev/stdout")))},
			want:  "1.29.1 Succeeded, 1.28.3 Succeeded"},
		"another target while the second wave changes leaves the first where it is": {
			options: []plantest.Option{three},
			edits:   []edit{edits(0, "one value", plantest.SharedValues(log("/dev/stdout"))), edits(22, "another value", plantest.SharedValues(log("/dev/stderr")))},
			want:    "1.28.3 Stopped Superseded, 1.28.3 Succeeded"},
		"another target while the first wave soaks leaves it where it is": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{edits(0, "one value", plantest.SharedValues(log("/dev/stdout"))), edits(12, "another value", plantest.SharedValues(log("/dev/stderr")))},
			want:  "1.28.3 Stopped Superseded, 1.28.3 Succeeded"},
		"the former values in the second wave take everything back, at once": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{edits(0, "one value", plantest.SharedValues(log("/dev/stdout"))), edits(22, "the former value", plantest.SharedValues(nil))},
			want:  "1.28.3 RolledBack Superseded"},
		"a target that fails later takes back who started from another than the rest": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{
				edits(0, "one value", plantest.SharedValues(log("/dev/stdout"))), {at: 20, what: "north is broken", do: plays("north", behaviour{fails: meshv1alpha1.StageInstall})},
				edits(22, "another value", plantest.SharedValues(log("/dev/stderr"))), {at: 120, what: "north is mended", do: plays("north", behaviour{})},
				restartsBarePods(130, "west"), edits(140, "a third value", plantest.SharedValues(log("/dev/null")))},
			want: "1.28.3 Stopped Superseded, 1.28.3 RolledBack Failed, 1.28.3 Succeeded"},
		"pods that are restarted let a revision go": {
			options: []plantest.Option{three}, set: everywhere,
			edits: []edit{wantsVersion(0, "1.29.1"), restartsBarePods(100, "east"), restartsBarePods(110, "west")},
			want:  "1.29.1 Succeeded"},
	}
}

// TestLifeAtRandom plays meshes whose spec changes at any time, also in the middle of upgrades, with pods that keep
// revisions, members that are cut off, and failures. What must always hold is checked in every step; in the end, when
// everything is well, the mesh runs what its spec asks for.
func TestLifeAtRandom(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // repeatable on purpose
			l := newLife(t, testutil.With("north"))
			l.inst.Spec.Upgrade.UnreachablePeers = []meshv1alpha1.UnreachablePeers{meshv1alpha1.UnreachablePeersWait, meshv1alpha1.UnreachablePeersIgnore}[seed%2]
			l.edits = randomEdits(random)
			l.live(500)
			last := l.history[len(l.history)-1]
			if !last.Status.Phase.IsFinished() || l.stuck != "" {
				l.violated("in the end %s is %s, %s", last.Name, last.Status.Phase, l.stuck)
			}
			for _, m := range l.members {
				if got := mesh.RunningRevision(m); len(m.Spec.Revisions) != 1 || got.Version != l.inst.Spec.Version {
					l.violated("in the end %s runs %+v", m.Spec.Cluster, m.Spec.Revisions)
				}
			}
		})
	}
}

func randomEdits(random *rand.Rand) []edit {
	names := []string{"east", "north", "west"}
	var all []edit
	for at := random.IntN(5); at < 300; at += 1 + random.IntN(50) {
		name := names[random.IntN(len(names))]
		switch random.IntN(8) {
		case 0, 1:
			all = append(all, wantsVersion(at, []string{"1.28.3", "1.29.1"}[random.IntN(2)]))
		case 2, 3, 4:
			all = append(all, edits(at, "other values", plantest.SharedValues(plantest.Values{"autoscaleMin": 2 + random.IntN(4)})))
		case 5:
			all = append(all, restartsBarePods(at, name))
		case 6:
			all = append(all, edit{at: at, what: name + " cannot be reached", do: func(l *life) { setReachable(l.member(name), false, l.now) }})
			all = append(all, edit{at: at + 1 + random.IntN(60), what: name + " can be reached", do: func(l *life) { setReachable(l.member(name), true, l.now) }})
		case 7:
			all = append(all, edit{at: at, what: name + " is broken", do: plays(name, behaviour{fails: []meshv1alpha1.Stage{
				meshv1alpha1.StageInstall, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak}[random.IntN(3)]})})
		}
	}
	well := func(l *life) {
		for _, name := range names {
			*l.behaviour[name] = behaviour{}
			if m := l.member(name); !isReachable(m) {
				setReachable(m, true, l.now)
			}
		}
		l.inst.Spec.Upgrade.Attempt++
	}
	return append(all, edit{at: 380, what: "everything is well, spec.upgrade.attempt is counted up", do: well})
}

// TestTargetSparesWhatRetires gives a target another name while a member still has that of another content, as far as the
// member has reported.
func TestTargetSparesWhatRetires(t *testing.T) {
	now := plantest.Serving(plantest.Made(plantest.Shop()))
	same, other := mesh.RevisionHash(meshv1alpha1.Revision{Version: "1.30.0"}), "0123456789"
	retires := func(hash string) []meshv1alpha1.MeshMember {
		all := plantest.Serving(plantest.Made(plantest.Shop()))
		all[1].Status.Retiring = []meshv1alpha1.RetiringRevision{{Name: "1-30-0", Hash: hash}}
		return all
	}
	dropped := func(hash string) []meshv1alpha1.MeshMember {
		all := plantest.Serving(plantest.Made(plantest.Shop()))
		all[1].Status.Revisions = append(all[1].Status.Revisions, meshv1alpha1.RevisionStatus{Name: "1-30-0", Hash: hash})
		return all
	}
	for name, c := range map[string]struct {
		members []meshv1alpha1.MeshMember
		isTaken bool
	}{
		"nothing retires":                                          {members: now},
		"what retires is the same":                                 {members: retires(same)},
		"what retires is another":                                  {members: retires(other), isTaken: true},
		"what retires is not known":                                {members: retires(""), isTaken: true},
		"what has just been dropped is the same":                   {members: dropped(same)},
		"what has just been dropped, and not reported, is another": {members: dropped(other), isTaken: true},
	} {
		t.Run(name, func(t *testing.T) {
			to, _, err := upgrade.Target(plantest.Shop(plantest.Version("1.30.0")), c.members)
			if err != nil || strings.HasPrefix(to.Revision, "1-30-0-v") != c.isTaken {
				t.Errorf("the target is %q (%v), want another name: %t", to.Revision, err, c.isTaken)
			}
		})
	}
}
