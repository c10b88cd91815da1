package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
)

var (
	now        = time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)
	errRefused = errors.New("connection refused")
)

func done(kind string) Outcome {
	return Outcome{Type: kind, Result: phase.Complete(meshv1alpha1.ReasonReady, "it holds")}
}

func waiting(kind string) Outcome {
	return Outcome{Type: kind, Result: phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "0 of 1", time.Second)}
}

func failing(kind string) Outcome {
	return Outcome{Type: kind, Result: phase.Retrying(meshv1alpha1.ReasonRetrying, errRefused)}
}

func stuck(kind string) Outcome {
	return Outcome{Type: kind, Result: phase.Stall(meshv1alpha1.ReasonInvalidValues, errors.New("no such value"))}
}

func unknown(o Outcome) Outcome {
	o.Unknown = true
	return o
}

// lines are conditions in a form that reads well.
func lines(conditions []metav1.Condition) []string {
	var out []string
	for _, c := range conditions {
		out = append(out, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	slices.Sort(out)
	return out
}

func TestSet(t *testing.T) {
	const (
		ready   = "Ready=True Ready: everything that the spec asks for holds"
		planes  = meshv1alpha1.ConditionControlPlanesReady
		gateway = meshv1alpha1.ConditionGatewaysReady
	)
	cases := map[string]struct {
		outcomes []Outcome
		want     []string
	}{
		"converged": {[]Outcome{done(planes), done(gateway)},
			[]string{"ControlPlanesReady=True Ready: it holds", "GatewaysReady=True Ready: it holds", ready}},
		"waiting": {[]Outcome{done(planes), waiting(gateway)},
			[]string{"ControlPlanesReady=True Ready: it holds", "GatewaysReady=False WaitingForIstiod: 0 of 1",
				"Ready=Unknown WaitingForIstiod: 0 of 1", "Reconciling=True WaitingForIstiod: 0 of 1"}},
		"failed, will retry": {[]Outcome{waiting(planes), failing(gateway)},
			[]string{"ControlPlanesReady=False WaitingForIstiod: 0 of 1", "GatewaysReady=False Retrying: connection refused",
				"Ready=False Retrying: connection refused", "Reconciling=True Retrying: connection refused"}},
		"needs a human": {[]Outcome{failing(planes), stuck(gateway)},
			[]string{"ControlPlanesReady=False Retrying: connection refused", "GatewaysReady=False InvalidValues: no such value",
				"Ready=False InvalidValues: no such value", "Stalled=True InvalidValues: no such value"}},
		"the first of the worst decides": {[]Outcome{failing(planes), {Type: gateway, Result: phase.Retrying("Other", errors.New("other"))}},
			[]string{"ControlPlanesReady=False Retrying: connection refused", "GatewaysReady=False Other: other",
				"Ready=False Retrying: connection refused", "Reconciling=True Retrying: connection refused"}},
		"an outcome without a type counts for Ready only": {[]Outcome{done(planes), stuck("")},
			[]string{"ControlPlanesReady=True Ready: it holds", "Ready=False InvalidValues: no such value", "Stalled=True InvalidValues: no such value"}},
		"what cannot be asked is Unknown": {[]Outcome{unknown(waiting(planes))},
			[]string{"ControlPlanesReady=Unknown WaitingForIstiod: 0 of 1", "Ready=Unknown WaitingForIstiod: 0 of 1", "Reconciling=True WaitingForIstiod: 0 of 1"}},
		"a failure to ask is Unknown, never False": {[]Outcome{unknown(failing(planes)), unknown(waiting(gateway))},
			[]string{"ControlPlanesReady=Unknown Retrying: connection refused", "GatewaysReady=Unknown WaitingForIstiod: 0 of 1",
				"Ready=Unknown Retrying: connection refused", "Reconciling=True Retrying: connection refused"}},
	}
	// Whatever was before must not show.
	befores := map[string][]Outcome{
		"after nothing": nil, "after converged": {done(planes)}, "after waiting": {waiting(planes)}, "after stalled": {stuck(planes)},
	}
	for name, c := range cases {
		for when, before := range befores {
			t.Run(name+" "+when, func(t *testing.T) {
				var conditions []metav1.Condition
				if before != nil {
					Set(&conditions, 6, before, now.Add(-time.Hour))
				}
				Set(&conditions, 7, c.outcomes, now)
				if diff := cmp.Diff(c.want, lines(conditions)); diff != "" {
					t.Errorf("conditions (-want +got):\n%s", diff)
				}
				for _, condition := range conditions {
					if condition.ObservedGeneration != 7 {
						t.Errorf("%s is of generation %d, want 7", condition.Type, condition.ObservedGeneration)
					}
				}
			})
		}
	}
}

// stored is what a status is after the API server has kept it: times in whole seconds, texts in valid UTF-8.
func stored(t *testing.T, conditions []metav1.Condition) []metav1.Condition {
	t.Helper()
	raw, err := json.Marshal(conditions)
	if err != nil {
		t.Fatal(err)
	}
	var out []metav1.Condition
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSetChangesNothingWhenNothingChanges(t *testing.T) {
	long := strings.Repeat("ü", maxMessage)
	cases := map[string][]Outcome{
		"converged":             {done("A"), done("B")},
		"waiting":               {waiting("A")},
		"failing":               {failing("A")},
		"stalled":               {stuck("A")},
		"unknown":               {unknown(waiting("A"))},
		"a message that is cut": {{Type: "A", Result: phase.Waiting("R", "x"+long, 0)}, {Type: "B", Result: phase.Waiting("R", long, 0)}},
	}
	for name, outcomes := range cases {
		t.Run(name, func(t *testing.T) {
			var conditions []metav1.Condition
			Set(&conditions, 1, outcomes, now)
			before := stored(t, conditions)
			after := stored(t, conditions)
			Set(&after, 1, outcomes, now.Add(time.Hour))
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("a second pass would write the status again (-before +after):\n%s", diff)
			}
		})
	}
}

func TestSetMovesTheTransitionTimeWithTheStatusOnly(t *testing.T) {
	var conditions []metav1.Condition
	Set(&conditions, 1, []Outcome{waiting("A")}, now)
	Set(&conditions, 2, []Outcome{failing("A")}, now.Add(time.Minute))
	Set(&conditions, 3, []Outcome{done("A")}, now.Add(time.Hour))
	Set(&conditions, 4, []Outcome{done("A")}, now.Add(2*time.Hour))
	a := meta.FindStatusCondition(conditions, "A")
	if want := now.Add(time.Hour).Truncate(time.Second); !a.LastTransitionTime.Time.Equal(want) || a.ObservedGeneration != 4 {
		t.Errorf("A changed at %v in generation %d, want %v and 4", a.LastTransitionTime, a.ObservedGeneration, want)
	}
}

func TestSetLeavesWhatWasNotComputed(t *testing.T) {
	conditions := []metav1.Condition{}
	Set(&conditions, 1, []Outcome{done("A"), done("B")}, now)
	Set(&conditions, 2, []Outcome{done("A")}, now)
	if b := meta.FindStatusCondition(conditions, "B"); b == nil || b.ObservedGeneration != 1 {
		t.Errorf("B is %v, want it to stay of generation 1", b)
	}
}

func TestNext(t *testing.T) {
	after := func(d time.Duration) Outcome { return Outcome{Result: phase.Result{After: d}} }
	cases := map[string]struct {
		outcomes []Outcome
		want     time.Duration
	}{
		"nothing to come back for": {[]Outcome{after(0), after(0)}, 0},
		"the soonest":              {[]Outcome{after(time.Minute), after(0), after(time.Second), after(time.Hour)}, time.Second},
		"no outcomes":              {nil, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Next(c.outcomes); got != c.want {
				t.Errorf("next is %v, want %v", got, c.want)
			}
		})
	}
}

func TestWorst(t *testing.T) {
	cases := map[string]struct {
		outcomes []Outcome
		want     string
	}{
		"none":                 {nil, ""},
		"waiting over done":    {[]Outcome{done("A"), waiting("B"), done("C")}, "B"},
		"failing over waiting": {[]Outcome{waiting("A"), failing("B"), waiting("C")}, "B"},
		"stalled over failing": {[]Outcome{failing("A"), stuck("B"), failing("C")}, "B"},
		"the first of equals":  {[]Outcome{done("A"), failing("B"), failing("C")}, "B"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Worst(c.outcomes).Type; got != c.want {
				t.Errorf("worst is %q, want %q", got, c.want)
			}
		})
	}
}

func TestReadyDoesNotDependOnWhatIsAside(t *testing.T) {
	var got []metav1.Condition
	Set(&got, 1, []Outcome{
		{Type: meshv1alpha1.ConditionTagsCurrent, Aside: true, Result: phase.Waiting(meshv1alpha1.ReasonTagInUse, "prod", 0)},
		{Type: meshv1alpha1.ConditionAvailable, Result: phase.Complete(meshv1alpha1.ReasonReady, "")},
	}, now)
	if c := meta.FindStatusCondition(got, meshv1alpha1.ConditionTagsCurrent); c == nil || c.Status != metav1.ConditionFalse {
		t.Errorf("condition %v, want it False", c)
	}
	if !meta.IsStatusConditionTrue(got, meshv1alpha1.ConditionReady) {
		t.Errorf("conditions %v, want Ready", got)
	}
}
