package member

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestRunSteps wants a gate that is not done to end the pass after its round, and nothing else to end it.
func TestRunSteps(t *testing.T) {
	done := phase.Complete(meshv1alpha1.ReasonReady, "ok")
	waits := phase.Waiting(meshv1alpha1.ReasonProgressing, "not yet", time.Second)
	passable := waits
	passable.Passable = true
	broken := phase.Retrying(meshv1alpha1.ReasonConnectionDown, errors.New("no route"))
	type step struct {
		round  member.Round
		gate   bool
		result phase.Result
	}
	cases := map[string]struct {
		steps         []step
		want          int // steps that run
		wantBlockedBy int
	}{
		"all are done": {[]step{{member.Vet, true, done}, {member.Claim, true, done}, {member.Prepare, false, done}}, 3, -1},
		"what is no gate ends nothing": {[]step{
			{member.Prepare, false, broken}, {member.Prepare, false, waits}, {member.Install, true, done}, {member.Serve, false, broken}}, 4, -1},
		"a gate lets the others of its round run": {[]step{
			{member.Vet, true, done}, {member.Prepare, true, waits}, {member.Prepare, false, done}, {member.Prepare, true, done}, {member.Install, true, done},
			{member.Serve, false, done}}, 4, 1},
		"the last of its round ends it there": {[]step{{member.Prepare, false, done}, {member.Prepare, true, broken}, {member.Install, true, done}}, 2, 1},
		"of two gates the first ends it":      {[]step{{member.Prepare, true, waits}, {member.Prepare, true, broken}, {member.Install, true, done}}, 2, 0},
		"one that may be passed does not": {[]step{
			{member.Prepare, true, passable}, {member.Install, true, done}, {member.Serve, true, passable}, {member.Connect, false, done}}, 4, -1},
		"one behind a passable one does": {[]step{{member.Prepare, true, passable}, {member.Install, true, waits}, {member.Serve, true, done}}, 2, 1},
		"nothing is asked of a member that is not connected": {[]step{
			{beforeRounds, true, broken}, {member.Vet, true, done}, {member.Claim, true, done}, {afterRounds, false, done}}, 1, 0},
		"nothing keeps a stage but a gate": {[]step{{beforeRounds, true, done}, {member.Connect, false, waits}, {afterRounds, false, done}}, 3, -1},
		"the last round ends as any other": {[]step{{member.Connect, true, waits}, {member.Connect, false, done}, {afterRounds, false, done}}, 2, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pass := &member.Pass{Object: testutil.Member("east"), Now: testutil.Now}
			var ran []string
			var steps []member.Step
			for i, st := range c.steps {
				name := fmt.Sprintf("step-%d", i)
				steps = append(steps, member.Step{Name: name, Round: st.round, Gate: st.gate, Run: func(_ context.Context, p *member.Pass) phase.Result {
					if p != pass {
						t.Errorf("%s runs in another pass", name)
					}
					ran = append(ran, name)
					return st.result
				}})
			}
			run := runSteps(t.Context(), pass, steps)
			var want []string
			for _, st := range steps[:c.want] {
				want = append(want, st.Name)
			}
			if diff := cmp.Diff(want, ran); diff != "" || len(run.results) != c.want || len(run.left) != len(steps)-c.want {
				t.Errorf("%d results, %d left, ran (-want +got):\n%s", len(run.results), len(run.left), diff)
			}
			if run.blockedBy != c.wantBlockedBy {
				t.Errorf("ended by step %d, want %d", run.blockedBy, c.wantBlockedBy)
			}
			for i, st := range steps {
				recorded := phase.Result{}
				if i < c.want {
					recorded = c.steps[i].result
				}
				if got := pass.Result(st.Name); got.Reason != recorded.Reason || got.Kind != recorded.Kind {
					t.Errorf("result of %s: %+v, want %+v", st.Name, got, recorded)
				}
			}
		})
	}
}

// TestRenewalGoesOn stalls each step of a pass in turn. A member that serves gets renewed certificates and tokens all the same. One that is
// not known to be the member's gets nothing, and neither does one that has not served, or is only being taken over.
func TestRenewalGoesOn(t *testing.T) {
	renewing := []string{"trust", "remoteSecrets", "reader"}
	served := testutil.Reached(1)
	recovered := func(m *meshv1alpha1.MeshMember) { m.Status.Recovered = &meshv1alpha1.OrderInForce{} }
	for _, stalls := range StepNames() {
		cases := map[string]struct {
			member *meshv1alpha1.MeshMember
			others bool
			want   bool
		}{
			"a member that serves":          {member: testutil.Member("east", served), want: stalls != "connect"},
			"one that has never served":     {member: testutil.Member("east")},
			"one that is being taken over":  {member: testutil.Member("east", served, recovered)},
			"a cluster of another":          {member: testutil.Member("east", served), others: true},
			"one of which nothing is known": {member: testutil.Member("east", recovered), others: true},
		}
		for name, c := range cases {
			t.Run(stalls+"/"+name, func(t *testing.T) {
				pass, ran := &member.Pass{Object: c.member, Now: testutil.Now}, map[string]bool{}
				steps := New(Options{}).steps()
				var stalled member.Step
				for i := range steps {
					st := steps[i]
					if st.Name == stalls {
						stalled = st
					}
					steps[i].Run = func(_ context.Context, p *member.Pass) phase.Result {
						ran[st.Name] = true
						if st.Name == "identify" {
							p.Claimed = !c.others
						}
						if st.Name == stalls {
							return phase.Stall(meshv1alpha1.ReasonObjectConflict, errors.New("somebody else's"))
						}
						return phase.Result{}
					}
				}
				run := runSteps(t.Context(), pass, steps)
				isEarlier := stalled.Gate && stalled.Round < member.Prepare
				for _, name := range renewing {
					if want := c.want || !isEarlier; ran[name] != want {
						t.Errorf("%s has run: %v, want %v", name, ran[name], want)
					}
				}
				if stalled.Gate && stalled.Round < member.Install && (ran["install"] || ran["gateway"] || ran["rollout"]) {
					t.Errorf("steps after the gate have run: %v", ran)
				}
				if stalled.Gate && run.ran[run.blockedBy].Name != stalls {
					t.Errorf("ended by %s", run.ran[run.blockedBy].Name)
				}
			})
		}
	}
}

// ranSoFar is a run of the first steps, of those whose results there are.
func ranSoFar(steps []member.Step, results []phase.Result) stepsRun {
	return stepsRun{ran: steps[:len(results)], results: results, left: steps[len(results):]}
}

func TestConclude(t *testing.T) {
	steps := []member.Step{
		{Name: "connect", Condition: meshv1alpha1.ConditionReachable, Gate: true},
		{Name: "claim", Gate: true},
		{Name: "trust", Condition: meshv1alpha1.ConditionTrustRootReady, Gate: true},
		{Name: "serve", Condition: meshv1alpha1.ConditionControlPlanesReady, Gate: true},
		{Name: "rootInForce", Condition: meshv1alpha1.ConditionTrustRootReady, Gate: true},
		{Name: "gateway", Condition: meshv1alpha1.ConditionGatewaysReady},
	}
	ok := phase.Complete(meshv1alpha1.ReasonReady, "ok")
	waits := phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "istiod starts", time.Second)
	unreached := phase.Retrying(meshv1alpha1.ReasonConnectionDown, errors.New("no route"))
	refused := phase.Retrying(meshv1alpha1.ReasonUnauthorized, errors.New("expired"))
	conflict := phase.Stall(meshv1alpha1.ReasonClusterClaimed, errors.New("another's"))
	const known, unknown = "", " (unknown)"
	cases := map[string]struct {
		member  *meshv1alpha1.MeshMember
		results []phase.Result
		blocked phase.Result
		want    []string
	}{
		"every phase is done": {testutil.Member("east", testutil.Reached(1)), []phase.Result{ok, ok, ok, ok, ok, ok}, phase.Result{}, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: done Ready", "ControlPlanesReady: done Ready",
			"GatewaysReady: done Ready", "Available: done Ready"}},
		"a root is not in force before istiod hands it out": {testutil.Member("east", testutil.Reached(0)), []phase.Result{ok, ok, ok, waits}, waits, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: wait WaitingForIstiod", "ControlPlanesReady: wait WaitingForIstiod",
			"GatewaysReady: wait WaitingForIstiod", "Available: wait WaitingForIstiod"}},
		"a condition that is not done keeps its own reason": {testutil.Member("east", testutil.Reached(0)), []phase.Result{ok, ok, conflict}, conflict, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: stalled ClusterClaimed", "ControlPlanesReady: wait ClusterClaimed",
			"GatewaysReady: wait ClusterClaimed", "Available: wait WaitingForIstiod"}},
		"what ran after the gate does not say why": {testutil.Member("east", testutil.Reached(1)), []phase.Result{ok, conflict, ok, ok}, conflict, []string{
			"Reachable: done Ready", ": stalled ClusterClaimed", "TrustRootReady: wait ClusterClaimed", "ControlPlanesReady: done Ready",
			"GatewaysReady: wait ClusterClaimed", "Available: done Ready"}},
		"the last phase of a condition decides it": {testutil.Member("east", testutil.Reached(1)), []phase.Result{ok, ok, ok, ok, waits}, waits, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: wait WaitingForIstiod", "ControlPlanesReady: done Ready",
			"GatewaysReady: wait WaitingForIstiod", "Available: done Ready"}},
		"nothing is known of a member that does not answer": {testutil.Member("east", testutil.Reached(1)), []phase.Result{unreached}, unreached, []string{
			"Reachable: retry ConnectionDown" + unknown, "TrustRootReady: wait ConnectionDown" + unknown,
			"ControlPlanesReady: wait ConnectionDown" + unknown, "GatewaysReady: wait ConnectionDown" + unknown, "Available: wait ConnectionDown" + unknown}},
		"a credential that is refused is known": {testutil.Member("east"), []phase.Result{refused}, refused, []string{
			"Reachable: retry Unauthorized" + known, "TrustRootReady: wait Unauthorized" + unknown,
			"ControlPlanesReady: wait Unauthorized" + unknown, "GatewaysReady: wait Unauthorized" + unknown, "Available: wait Unauthorized" + unknown}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range conclude(&member.Pass{Object: c.member, Now: testutil.Now}, ranSoFar(steps, c.results), c.blocked) {
				line := fmt.Sprintf("%s: %s %s", o.Type, o.Result.Kind, o.Result.Reason)
				if o.Unknown {
					line += unknown
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTroubleWithTheRootIsNotHiddenByLaterPhases wants trouble with the root to be told and not to stop anything else.
func TestTroubleWithTheRootIsNotHiddenByLaterPhases(t *testing.T) {
	steps := []member.Step{
		{Name: "connect", Condition: meshv1alpha1.ConditionReachable, Gate: true},
		{Name: "trust", Condition: meshv1alpha1.ConditionTrustRootReady, Gate: true},
		{Name: "serve", Condition: meshv1alpha1.ConditionControlPlanesReady, Gate: true},
		{Name: "rootInForce", Condition: meshv1alpha1.ConditionTrustRootReady, Gate: true},
	}
	ok := phase.Complete(meshv1alpha1.ReasonReady, "ok")
	changed := phase.Stall(meshv1alpha1.ReasonRootChanged, errors.New("another root"))
	pass := &member.Pass{Object: testutil.Member("east", testutil.Reached(1)), Now: testutil.Now}
	for _, o := range conclude(pass, ranSoFar(steps, []phase.Result{ok, changed, ok, ok}), phase.Result{}) {
		want := meshv1alpha1.ReasonReady
		if o.Type == meshv1alpha1.ConditionTrustRootReady {
			want = meshv1alpha1.ReasonRootChanged
		}
		if o.Result.Reason != want {
			t.Errorf("%s: %s, want %s", o.Type, o.Result.Reason, want)
		}
	}
}

func TestStateOf(t *testing.T) {
	outcome := func(k phase.Kind) status.Outcome { return status.Outcome{Result: phase.Result{Kind: k}} }
	down := outcome(phase.Retry)
	down.Unknown = true
	cases := map[string]struct {
		outcomes []status.Outcome
		want     string
	}{
		"all done":    {[]status.Outcome{outcome(phase.Done)}, metrics.StateReady},
		"waiting":     {[]status.Outcome{outcome(phase.Done), outcome(phase.Wait)}, metrics.StateProgressing},
		"failing":     {[]status.Outcome{outcome(phase.Wait), outcome(phase.Retry)}, metrics.StateFailing},
		"stalled":     {[]status.Outcome{outcome(phase.Stalled), outcome(phase.Retry)}, metrics.StateStalled},
		"unreachable": {[]status.Outcome{down, outcome(phase.Wait)}, metrics.StateUnreachable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := stateOf(c.outcomes); got != c.want {
				t.Errorf("state is %q, want %q", got, c.want)
			}
		})
	}
}

func TestReconnecting(t *testing.T) {
	outcome := func(reason string) []status.Outcome {
		return []status.Outcome{{Result: phase.Waiting(reason, "", 0)}}
	}
	current := func(m *meshv1alpha1.MeshMember) { m.Status.ObservedGeneration = m.Generation }
	cases := map[string]struct {
		member *meshv1alpha1.MeshMember
		reason string
		want   bool
	}{
		"a member that was reached keeps its status": {testutil.Member("east", testutil.Reached(1), current), meshv1alpha1.ReasonConnecting, true},
		"a new member reports that it connects":      {testutil.Member("east"), meshv1alpha1.ReasonConnecting, false},
		"a new work order is answered":               {testutil.Member("east", testutil.Reached(1)), meshv1alpha1.ReasonConnecting, false},
		"a member that is down reports it":           {testutil.Member("east", testutil.Reached(1), current), meshv1alpha1.ReasonConnectionDown, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := reconnecting(c.member, outcome(c.reason)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAPatchIsForTheObjectThatWasRead(t *testing.T) {
	before := testutil.Member("east")
	after := before.DeepCopy()
	after.Status.ClusterUID = "a"
	raw, err := hub.SameObject{Patch: client.MergeFrom(before)}.Data(after)
	testutil.Must(t, err)
	if diff := cmp.Diff(`{"metadata":{"uid":"member-uid"},"status":{"clusterUID":"a"}}`, string(raw)); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
}
