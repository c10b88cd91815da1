package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// kept is what a member runs that is held.
type kept struct{ version, content string }

func keptBy(t *testing.T, m *meshv1alpha1.MeshMember) kept {
	t.Helper()
	return kept{version: mesh.RunningRevision(m).Version, content: marshal(t, []any{m.Spec.Revisions, m.Spec.DefaultRevision, m.Spec.GatewayRevision, m.Spec.Tags})}
}

// hold makes these the holds of the mesh.
func (w *world) hold(holds upgrade.Holds) {
	if w.kept == nil {
		w.kept = map[string]kept{}
	}
	maps.DeleteFunc(w.kept, func(name string, _ kept) bool { return !holds.Has(name) })
	w.holds = holds
	for _, m := range w.members {
		name, stage := m.Spec.Cluster, stageOf(m)
		_, isKnown := w.kept[name]
		if holds.Has(name) && !isKnown && mesh.HasServed(m) && (stage == "" || stage == meshv1alpha1.StagePreflight) {
			w.kept[name] = keptBy(w.t, m)
		}
	}
}

// checkHeld checks that no upgrade has started a member that was held before, nor changed what it runs.
func (w *world) checkHeld() {
	w.t.Helper()
	for _, m := range w.members {
		before, isKept := w.kept[m.Spec.Cluster]
		if !isKept || mesh.IsLeaving(m) {
			continue
		}
		if stage := stageOf(m); stage != "" && stage != meshv1alpha1.StagePreflight {
			w.violated("%s is held and ordered %s", m.Spec.Cluster, stage)
		}
		if after := keptBy(w.t, m); after != before {
			w.violated("%s is held and has changed: from %+v to %+v", m.Spec.Cluster, before, after)
		}
	}
}

// checkSkew checks that no member goes to a version beside a member that is held too far away from it.
func (w *world) checkSkew(version, what string) {
	w.t.Helper()
	for _, m := range w.members {
		before, isKept := w.kept[m.Spec.Cluster]
		if isKept && !mesh.IsLeaving(m) && !istioversion.IsWithinSkew(before.version, version) {
			w.violated("%s with %s, while %s is held at %s", what, version, m.Spec.Cluster, before.version)
		}
	}
}

var aHold = meshv1alpha1.Hold{Reason: "Kubernetes is too old", Until: metav1.NewTime(epoch.Add(24 * time.Hour))}

// holdsNow are the holds of these members.
func holdsNow(names ...string) upgrade.Holds {
	holds := upgrade.Holds{}
	for _, name := range names {
		holds[name] = aHold
	}
	return holds
}

func holding(when int, names ...string) event {
	return at(when, "held: "+cmp.Or(strings.Join(names, ", "), "none"), func(w *world) { w.hold(holdsNow(names...)) })
}

// randomHolds are what people hold back, and let go again.
func randomHolds(random *rand.Rand, w *world) []event {
	var names []string
	for i := range w.upgrade.Spec.Waves {
		names = append(names, w.upgrade.Spec.Waves[i].Members...)
	}
	var events []event
	for when := random.IntN(10); when < 300; when += 1 + random.IntN(30) {
		held := slices.DeleteFunc(slices.Clone(names), func(string) bool { return random.IntN(3) > 0 })
		events = append(events, holding(when, held...))
	}
	return append(events, holding(300))
}

// held sets or removes the hold of members in the spec.
func held(isHeld bool, names ...string) plantest.Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for i := range inst.Spec.Members {
			if m := &inst.Spec.Members[i]; slices.Contains(names, m.Name) {
				if m.Hold = nil; isHeld {
					m.Hold = aHold.DeepCopy()
				}
			}
		}
	}
}

// TestHeldMembersStay plays one upgrade with members that are held: who has not started does not start, who has started finishes or is rolled
// back.
func TestHeldMembersStay(t *testing.T) {
	install := meshv1alpha1.StageInstall
	cases := map[string]struct {
		events []event
		fails  string
		// want are the phase and the stages that were ordered last, by member. A member that was looked at only has Preflight.
		want, wantMessage string
	}{
		"from the beginning": {events: []event{holding(0, "west")},
			want: "Succeeded east Retire, north Retire", wantMessage: "every member runs 1-29-1, but for those that are held: west"},
		"before its turn": {events: []event{holding(4, "west")},
			want: "Succeeded east Retire, north Retire, west Preflight", wantMessage: "every member runs 1-29-1, but for those that are held: west"},
		"after it has started": {events: []event{holding(4, "east")}, want: "Succeeded east Retire, north Retire, west Retire", wantMessage: "every member runs 1-29-1"},
		"until the others are done": {events: []event{holding(4, "west"), holding(17)},
			want: "Succeeded east Retire, north Retire, west Retire", wantMessage: "every member runs 1-29-1"},
		"while another one fails": {events: []event{holding(4, "west")}, fails: "north",
			want: "RolledBack east Discard, north Discard, west Preflight", wantMessage: "failed in stage Install"},
		"after it has started, and another one fails": {events: []event{holding(4, "east")}, fails: "north",
			want: "RolledBack east Discard, north Discard, west Preflight", wantMessage: "failed in stage Install"},
		"all, until a person aborts": {events: []event{holding(0, "east", "north", "west"), wants(30, meshv1alpha1.UpgradeStateAbort)},
			want: "RolledBack", wantMessage: "aborted by"},
		"all, until one is free": {events: []event{holding(0, "east", "north", "west"), holding(30, "north", "west")},
			want: "Succeeded east Retire", wantMessage: "but for those that are held: north, west"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, wave("canary", "east"), wave("rest", "north", "west"))
			w.events = c.events
			if c.fails != "" {
				w.behaviour[c.fails].fails = install
			}
			w.run(120)
			var last []string
			for _, name := range slices.Sorted(maps.Keys(w.last)) {
				last = append(last, fmt.Sprintf("%s %s", name, w.last[name]))
			}
			if got := strings.TrimSpace(fmt.Sprintf("%s %s", w.upgrade.Status.Phase, strings.Join(last, ", "))); got != c.want {
				t.Errorf("in the end %s, want %s:\n%s", got, c.want, w.log.String())
			}
			if got := w.upgrade.Status.Message; !strings.Contains(got, c.wantMessage) {
				t.Errorf("message %q, want %q in it", got, c.wantMessage)
			}
		})
	}
}

// TestHoldsThatStopAnUpgrade wants the reason, the member and the cure where a hold keeps all members from starting.
func TestHoldsThatStopAnUpgrade(t *testing.T) {
	w := newWorld(t, wave("all", "east", "west"))
	w.upgrade.Spec.To.Version, w.upgrade.Spec.To.Revision = "1.30.4", "1-30-4"
	w.hold(holdsNow("west"))
	d := Next(w.stored())
	if d.Hold.Reason != meshv1alpha1.ReasonUpgradeBlocked || !strings.Contains(d.Status.Message, "member west (until 2026-01-02T00:00:00Z: Kubernetes is too old) is held at Istio 1.28.3") {
		t.Errorf("hold %+v, message %q", d.Hold, d.Status.Message)
	}
	w.hold(holdsNow("east", "west"))
	d = Next(w.stored())
	if d.Hold.Reason != meshv1alpha1.ReasonMembersHeld || !strings.Contains(d.Status.Message, "every member is held: east (until") || !strings.Contains(d.Hold.Cure, "abort") {
		t.Errorf("hold %+v, message %q", d.Hold, d.Status.Message)
	}
}

func heldLives() map[string]lifeCase {
	step := func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.MaxMinorStep = 1 }
	fails := func(name string) func(*life) { return plays(name, behaviour{fails: meshv1alpha1.StageInstall}) }
	return map[string]lifeCase{
		"a member that is held stays, and follows when the hold is removed": {
			options: []plantest.Option{held(true, "west")},
			edits:   []edit{wantsVersion(0, "1.29.1"), edits(60, "the hold of west is removed", held(false, "west"))},
			want:    "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"values change beside a member that is held": {
			options: []plantest.Option{held(true, "west")},
			edits: []edit{
				edits(0, "other values", plantest.SharedValues(plantest.Values{"autoscaleMin": 3})), edits(60, "the hold of west is removed", held(false, "west"))},
			want: "1.28.3 Succeeded, 1.28.3 Succeeded"},
		"a hold that is set mid-run keeps a member from starting, and is removed mid-run": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(5, "west is held", held(true, "west")), edits(9, "the hold of west is removed", held(false, "west"))},
			want:  "1.29.1 Succeeded"},
		"a hold that is set mid-run keeps a member from starting": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(5, "west is held", held(true, "west")), edits(90, "the hold of west is removed", held(false, "west"))},
			want:  "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"a member that has started is held and finishes": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(3, "east is held", held(true, "east")), edits(60, "other values", plantest.SharedValues(plantest.Values{"autoscaleMin": 3}))},
			want:  "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"nothing starts while all are held": {
			options: []plantest.Option{held(true, "east", "west")},
			edits:   []edit{wantsVersion(0, "1.29.1"), edits(30, "the hold of east is removed", held(false, "east"))},
			want:    "1.29.1 Succeeded"},
		"all are held before any has started": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(1, "all are held", held(true, "east", "west")), wantsVersion(30, "1.28.3"), edits(40, "no hold", held(false, "east", "west")), wantsVersion(50, "1.29.1")},
			want:  "1.29.1 RolledBack Superseded, 1.29.1 Succeeded"},
		"a member that is held lets the mesh go one minor version ahead": {
			options: []plantest.Option{held(true, "west")},
			edits: []edit{
				wantsVersion(0, "1.30.4"), wantsVersion(20, "1.29.1"), wantsVersion(80, "1.30.4"), edits(100, "the hold of west is removed", held(false, "west"))},
			want: "1.29.1 Succeeded, 1.30.4 Succeeded"},
		"a member that is held during a step keeps the mesh from the next one": {
			options: []plantest.Option{step},
			edits: []edit{
				wantsVersion(0, "1.30.4"), edits(5, "west is held", held(true, "west")), edits(100, "the hold of west is removed", held(false, "west"))},
			want: "1.29.1 Succeeded, 1.29.1 Succeeded, 1.30.4 Succeeded"},
		"a member that is held during a jump of two minor versions pauses it": {
			edits: []edit{wantsVersion(0, "1.30.4"), edits(5, "west is held", held(true, "west")), edits(60, "the hold of west is removed", held(false, "west"))},
			want:  "1.30.4 Succeeded"},
		"a mesh goes back beside a member that is held": {
			edits: []edit{
				wantsVersion(0, "1.29.1"), edits(60, "west is held", held(true, "west")), wantsVersion(61, "1.28.3"), edits(120, "the hold of west is removed", held(false, "west"))},
			want: "1.29.1 Succeeded, 1.28.3 Succeeded, 1.28.3 Succeeded"},
		"an upgrade is taken back beside a member that is held at something older": {
			options: []plantest.Option{held(true, "west")},
			edits: []edit{
				edits(0, "other values", plantest.SharedValues(plantest.Values{"autoscaleMin": 3})), wantsVersion(60, "1.29.1"), wantsVersion(63, "1.28.3")},
			want: "1.28.3 Succeeded, 1.29.1 RolledBack Superseded"},
		"a member that failed is held, and its hold is removed": {
			options: []plantest.Option{func(inst *meshv1alpha1.MeshInstallation) {
				inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", MaxFailures: 1}}
			}},
			set: fails("east"),
			edits: []edit{
				wantsVersion(0, "1.29.1"), edits(60, "east is held", held(true, "east")), edits(90, "the hold of east is removed", held(false, "east")),
				{at: 100, what: "east is mended", do: func(l *life) { *l.behaviour["east"] = behaviour{} }}, edits(110, "spec.upgrade.attempt: 1", plantest.Attempt(1))},
			want: "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"the hold of a member is removed while one that failed is held": {
			options: []plantest.Option{testutil.With("north"), held(true, "west"), func(inst *meshv1alpha1.MeshInstallation) {
				inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", MaxFailures: 1}}
			}},
			set:   fails("east"),
			edits: []edit{wantsVersion(0, "1.29.1"), edits(60, "east is held", held(true, "east")), edits(90, "the hold of west is removed", held(false, "west"))},
			want:  "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"a member that is held leaves": {
			options: []plantest.Option{held(true, "west")},
			edits:   []edit{wantsVersion(0, "1.29.1"), edits(5, "west leaves", leaves("west")), wantsVersion(100, "1.31.0")},
			want:    "1.29.1 Succeeded, 1.31.0 Succeeded"},
		"a member joins with a hold": {
			edits: []edit{
				edits(0, "north joins with a hold", testutil.With("north"), held(true, "north")), wantsVersion(10, "1.29.1"),
				edits(90, "the hold of north is removed", held(false, "north"))},
			want: "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"a member joins with a hold while the mesh jumps": {
			edits: []edit{
				wantsVersion(0, "1.30.4"), edits(5, "north joins with a hold", testutil.With("north"), held(true, "north")), edits(60, "the hold of north is removed", held(false, "north"))},
			want: "1.30.4 Succeeded, 1.30.4 Succeeded"},
	}
}
