package upgrade

import (
	"fmt"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Steering is what people want of an upgrade that is not over: the strictest that any place says.
type Steering struct {
	State meshv1alpha1.UpgradeState
	// By are the places that want it. None for Run.
	By []string
	// unclear says what is wrong with the annotation. Somebody wanted something, so that it counts as Pause. Empty: nothing.
	unclear string
}

// strictness orders what people may want.
var strictness = map[meshv1alpha1.UpgradeState]int{meshv1alpha1.UpgradeStatePause: 1, meshv1alpha1.UpgradeStateAbort: 2}

// SteeringOf reads both places: the annotation of the upgrade, and the state that the spec of the installation says.
func SteeringOf(u *meshv1alpha1.MeshUpgrade, state meshv1alpha1.UpgradeState) Steering {
	w := Steering{State: meshv1alpha1.UpgradeStateRun}
	annotated := meshv1alpha1.UpgradeStateRun
	switch action := ActionOf(u); action {
	case "":
	case meshv1alpha1.UpgradeActionPause:
		annotated = meshv1alpha1.UpgradeStatePause
	case meshv1alpha1.UpgradeActionAbort:
		annotated = meshv1alpha1.UpgradeStateAbort
	case meshv1alpha1.UpgradeActionRetry:
		annotated = meshv1alpha1.UpgradeStatePause
		w.unclear = " (Retry is for an upgrade that is over: take it away)"
	default:
		annotated = meshv1alpha1.UpgradeStatePause
		w.unclear = fmt.Sprintf(" (%q is no action: write Pause or Abort, or take it away)", action)
	}
	for _, place := range []struct {
		name  string
		wants meshv1alpha1.UpgradeState
	}{{meshv1alpha1.ByAnnotation, annotated}, {meshv1alpha1.ByState, state}} {
		switch {
		case strictness[place.wants] > strictness[w.State]:
			w.State, w.By = place.wants, []string{place.name}
		case strictness[place.wants] > 0 && place.wants == w.State:
			w.By = append(w.By, place.name)
		}
	}
	return w
}

// IsAborted says whether people want an upgrade that is not over to go back.
func IsAborted(u *meshv1alpha1.MeshUpgrade, state meshv1alpha1.UpgradeState) bool {
	return SteeringOf(u, state).State == meshv1alpha1.UpgradeStateAbort
}

// ActionOf is what a person wants of an upgrade by its annotation. Empty: nothing.
func ActionOf(u *meshv1alpha1.MeshUpgrade) meshv1alpha1.UpgradeAction {
	return meshv1alpha1.UpgradeAction(u.Annotations[meshv1alpha1.AnnotationAction])
}

// HowToResume says what ends a pause.
func (w Steering) HowToResume() string {
	cures := map[string]string{
		meshv1alpha1.ByAnnotation: "take the annotation away",
		meshv1alpha1.ByState:      "write Run to spec.upgrade.state of the MeshInstallation",
	}
	var out []string
	for _, by := range w.By {
		out = append(out, cures[by])
	}
	return strings.Join(out, " and ")
}

// Says tells who wants it, after a verb.
func (w Steering) Says(verb string) string {
	var places []string
	for _, by := range w.By {
		switch by {
		case meshv1alpha1.ByAnnotation:
			by = "the annotation " + meshv1alpha1.AnnotationAction + w.unclear
		case meshv1alpha1.ByState:
			by += " of the MeshInstallation"
		}
		places = append(places, by)
	}
	return verb + " by " + strings.Join(places, " and ")
}
