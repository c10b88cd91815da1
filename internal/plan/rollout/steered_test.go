package rollout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

// orders writes the annotation by which people steer. Empty takes it away.
func orders(ticks int, order meshv1alpha1.UpgradeAction) event {
	return at(ticks, "annotation: "+orNone(order), func(w *world) { annotate(w.upgrade, order) })
}

func orNone(order meshv1alpha1.UpgradeAction) string {
	if order == "" {
		return "none"
	}
	return string(order)
}

func annotate(u *meshv1alpha1.MeshUpgrade, order meshv1alpha1.UpgradeAction) {
	if order == "" {
		delete(u.Annotations, meshv1alpha1.AnnotationAction)
		return
	}
	metav1.SetMetaDataAnnotation(&u.ObjectMeta, meshv1alpha1.AnnotationAction, string(order))
}

// steered are stories of people who steer by annotation, also against what the spec says.
func steered() map[string]scenario {
	pause, abort := meshv1alpha1.UpgradeActionPause, meshv1alpha1.UpgradeActionAbort
	specPauses, specRuns := meshv1alpha1.UpgradeStatePause, meshv1alpha1.UpgradeStateRun
	flaps := func(w *world) {
		for n := range 2 * keptInterventions {
			order := pause
			if n%2 == 1 {
				order = ""
			}
			w.events = append(w.events, orders(20+n, order))
		}
	}
	retried := func(by string) func(*world) {
		return func(w *world) { w.upgrade.Spec.Retry = &meshv1alpha1.UpgradeRetry{Of: "shop-0", By: by} }
	}
	return map[string]scenario{
		"an annotation pauses until it is gone": {
			waves: canaryAndRest(), set: happens(orders(2, pause), orders(60, "")), want: succeeded},
		"an annotation takes everything back": {
			waves: canaryAndRest(), set: happens(orders(5, abort)), want: rolledBack},
		"an annotation takes everything back, and is gone too late": {
			waves: canaryAndRest(), set: happens(orders(5, abort), orders(6, "")), want: rolledBack},
		"an annotation takes back what it paused": {
			waves: canaryAndRest(), set: happens(orders(5, pause), orders(12, abort)), want: rolledBack},
		"an annotation ends an upgrade before anything began": {
			waves: canaryAndRest(), set: happens(orders(0, abort)), want: rolledBack},
		"a tool that reverts the spec ends no pause by annotation": {
			waves: canaryAndRest(), want: succeeded,
			set: happens(wants(2, specPauses), orders(4, pause), wants(6, specRuns), wants(8, specPauses), wants(10, specRuns), orders(60, ""))},
		"a pause lasts until nobody wants it": {
			waves: canaryAndRest(), want: succeeded,
			set: happens(orders(2, pause), wants(4, specPauses), orders(30, ""), wants(60, specRuns))},
		"an abort is stricter than a pause, wherever it is said": {
			waves: canaryAndRest(), set: happens(orders(2, pause), wants(8, meshv1alpha1.UpgradeStateAbort), orders(9, "")), want: rolledBack},
		"an abort is said in both places at once": {
			waves: canaryAndRest(), set: happens(orders(5, abort), wants(5, meshv1alpha1.UpgradeStateAbort)), want: rolledBack},
		"an annotation that nobody understands pauses and says so": {
			waves: canaryAndRest(), set: happens(orders(2, "pause"), orders(30, "")), want: succeeded},
		"a retry of what is not over pauses and says so": {
			waves: canaryAndRest(), set: happens(orders(2, meshv1alpha1.UpgradeActionRetry), orders(30, "")), want: succeeded},
		"an annotation that nobody understands does not soften an abort": {
			waves: canaryAndRest(), set: happens(orders(5, "stop"), wants(5, meshv1alpha1.UpgradeStateAbort)), want: rolledBack},
		"a wave that is approved under a pause starts after it": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: happens(orders(30, pause), answers(35, "rest", meshv1alpha1.DecisionApproved), orders(60, ""))},
		"a wave that is rejected under a pause ends the upgrade": {
			waves: asking(1, canaryAndRest()), want: rolledBack,
			set: happens(orders(30, pause), answers(35, "rest", meshv1alpha1.DecisionRejected))},
		"who pauses again and again fills the record, and no approval is written twice": {
			waves: asking(1, canaryAndRest()), want: succeeded, set: func(w *world) {
				w.events = []event{answers(16, "rest", meshv1alpha1.DecisionApproved)}
				flaps(w)
			}},
		"an annotation takes everything back while an upgrade stops": {
			waves: atOnce(2, canaryAndRest()), want: rolledBack,
			set: both(both(scoped(meshv1alpha1.RollbackScopeMember), behaves("north", behaviour{ticks: map[meshv1alpha1.Stage]int{meshv1alpha1.StageWorkloads: 9}})),
				both(behaves("west", behaviour{fails: meshv1alpha1.StageInstall}), happens(orders(20, abort))))},
		"what is tried again by annotation says so first": {
			waves: canaryAndRest(), set: both(retried(meshv1alpha1.ByAnnotation), happens(orders(2, pause), orders(30, ""))), want: succeeded},
		"what is tried again by another attempt and paused from the start says so first": {
			waves: canaryAndRest(), set: both(retried(meshv1alpha1.ByAttempt), happens(orders(0, pause), orders(30, ""))), want: succeeded},
		"a pause survives the loss of what was written": {
			waves: canaryAndRest(), want: succeeded, set: both(loses(func(w *world) bool { return w.upgrade.Status.Phase == paused }),
				happens(orders(5, pause), orders(30, "")))},
		"an abort survives the loss of what was written": {
			waves: canaryAndRest(), set: both(loseRollback, happens(orders(5, abort))), want: rolledBack},
		"an approval survives the loss of what was written": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: both(loses(func(w *world) bool { return len(w.upgrade.Status.Interventions) == 1 }),
				happens(answers(30, "rest", meshv1alpha1.DecisionApproved)))},
		"a retry survives the loss of what was written": {
			waves: canaryAndRest(), want: succeeded,
			set: both(retried(meshv1alpha1.ByAnnotation), loses(func(w *world) bool { return len(w.upgrade.Status.Interventions) == 1 }))},
	}
}

// loses the first status for which that holds, after everything else of the pass was written.
func loses(which func(*world) bool) func(*world) {
	return func(w *world) {
		isLost := false
		w.forget = func() bool {
			if isLost || !which(w) {
				return false
			}
			isLost = true
			return true
		}
	}
}

// TestInterventionsAreRecordedOnce kills the operator before any one of its writes, status or order, of each story that
// people steer. In the end the same is recorded, in the same order.
func TestInterventionsAreRecordedOnce(t *testing.T) {
	for name, s := range steered() {
		t.Run(name, func(t *testing.T) {
			calm := s.world(t)
			calm.run(300)
			want := deeds(calm)
			if len(want) == 0 {
				t.Fatal("nothing is recorded, which proves nothing")
			}
			for kill := 0; kill < 30; kill += 3 {
				w := s.world(t)
				forget, isKilled, writes := w.forget, false, 0
				dies := func() bool { writes++; isKilled = isKilled || writes > kill; return writes == kill+1 }
				w.crash = dies
				w.forget = func() bool { return forget() || dies() }
				w.run(300)
				if diff := cmp.Diff(want, deeds(w)); diff != "" {
					t.Fatalf("recorded when killed before write %d (-calm +killed):\n%s\n%s", kill, diff, w.log.String())
				}
				if !isKilled {
					break
				}
			}
		})
	}
}

// deeds are what is recorded, without the time.
func deeds(w *world) (out []string) {
	for _, i := range w.upgrade.Status.Interventions {
		out = append(out, fmt.Sprintf("%s by %s %s", i.Action, i.By, i.Wave))
	}
	return out
}

func TestWishOf(t *testing.T) {
	run, stop, back := meshv1alpha1.UpgradeStateRun, meshv1alpha1.UpgradeStatePause, meshv1alpha1.UpgradeStateAbort
	note, field := meshv1alpha1.ByAnnotation, meshv1alpha1.ByState
	cases := map[string]struct {
		order meshv1alpha1.UpgradeAction
		state meshv1alpha1.UpgradeState
		want  meshv1alpha1.UpgradeState
		by    []string
		says  string
	}{
		"nobody says anything":            {want: run},
		"the spec lets it run":            {state: run, want: run},
		"the spec pauses":                 {state: stop, want: stop, by: []string{field}, says: "stopped by spec.upgrade.state of the MeshInstallation"},
		"the annotation pauses":           {order: "Pause", state: run, want: stop, by: []string{note}, says: "stopped by the annotation mesh.meshfleet.io/action"},
		"both pause":                      {order: "Pause", state: stop, want: stop, by: []string{note, field}, says: "stopped by the annotation mesh.meshfleet.io/action and spec.upgrade.state of the MeshInstallation"},
		"the annotation aborts":           {order: "Abort", state: run, want: back, by: []string{note}},
		"an abort beats the spec's pause": {order: "Abort", state: stop, want: back, by: []string{note}},
		"the spec's abort beats a pause":  {order: "Pause", state: back, want: back, by: []string{field}},
		"both abort":                      {order: "Abort", state: back, want: back, by: []string{note, field}},
		"a word that is none": {order: "Stop", state: run, want: stop, by: []string{note},
			says: `stopped by the annotation mesh.meshfleet.io/action ("Stop" is no action: write Pause or Abort, or take it away)`},
		"a word in small letters":         {order: "abort", want: stop, by: []string{note}},
		"a retry of what is not over":     {order: "Retry", want: stop, by: []string{note}},
		"a word that is none under abort": {order: "Stop", state: back, want: back, by: []string{field}, says: "stopped by spec.upgrade.state of the MeshInstallation"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u := &meshv1alpha1.MeshUpgrade{}
			annotate(u, c.order)
			got := upgrade.SteeringOf(u, c.state)
			if got.State != c.want || !equality.Semantic.DeepEqual(got.By, c.by) {
				t.Errorf("they want %s by %v, want %s by %v", got.State, got.By, c.want, c.by)
			}
			if c.says != "" && got.Says("stopped") != c.says {
				t.Errorf("said is %q, want %q", got.Says("stopped"), c.says)
			}
			if upgrade.IsAborted(u, c.state) != (c.want == back) {
				t.Errorf("aborted: %t", upgrade.IsAborted(u, c.state))
			}
		})
	}
}
