package member

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestConclude(t *testing.T) {
	steps := []step{
		{name: "connect", condition: meshv1alpha1.ConditionReachable, gate: true},
		{name: "claim", gate: true},
		{name: "trust", condition: meshv1alpha1.ConditionTrustRootReady, gate: true},
		{name: "serve", condition: meshv1alpha1.ConditionControlPlanesReady, gate: true},
		{name: "rootInForce", condition: meshv1alpha1.ConditionTrustRootReady, gate: true},
		{name: "gateway", condition: meshv1alpha1.ConditionGatewaysReady},
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
		want    []string
	}{
		"every phase is done": {testutil.Member("east", testutil.Reached(1)), []phase.Result{ok, ok, ok, ok, ok, ok}, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: done Ready", "ControlPlanesReady: done Ready",
			"GatewaysReady: done Ready", "Available: done Ready"}},
		"a root is not in force before istiod hands it out": {testutil.Member("east", testutil.Reached(0)), []phase.Result{ok, ok, ok, waits}, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: wait WaitingForIstiod", "ControlPlanesReady: wait WaitingForIstiod",
			"GatewaysReady: wait WaitingForIstiod", "Available: wait WaitingForIstiod"}},
		"what is not done itself says why": {testutil.Member("east", testutil.Reached(0)), []phase.Result{ok, ok, conflict}, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: stalled ClusterClaimed", "ControlPlanesReady: wait ClusterClaimed",
			"GatewaysReady: wait ClusterClaimed", "Available: wait WaitingForIstiod"}},
		"the last phase of a condition decides it": {testutil.Member("east", testutil.Reached(1)), []phase.Result{ok, ok, ok, ok, waits}, []string{
			"Reachable: done Ready", ": done Ready", "TrustRootReady: wait WaitingForIstiod", "ControlPlanesReady: done Ready",
			"GatewaysReady: wait WaitingForIstiod", "Available: done Ready"}},
		"nothing is known of a member that does not answer": {testutil.Member("east", testutil.Reached(1)), []phase.Result{unreached}, []string{
			"Reachable: retry ConnectionDown" + unknown, "TrustRootReady: wait ConnectionDown" + unknown,
			"ControlPlanesReady: wait ConnectionDown" + unknown, "GatewaysReady: wait ConnectionDown" + unknown, "Available: wait ConnectionDown" + unknown}},
		"a credential that is refused is known": {testutil.Member("east"), []phase.Result{refused}, []string{
			"Reachable: retry Unauthorized" + known, "TrustRootReady: wait Unauthorized" + unknown,
			"ControlPlanesReady: wait Unauthorized" + unknown, "GatewaysReady: wait Unauthorized" + unknown, "Available: wait Unauthorized" + unknown}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range conclude(&scope{member: c.member, now: testutil.Now}, steps, c.results) {
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
		"a new member says that it connects":         {testutil.Member("east"), meshv1alpha1.ReasonConnecting, false},
		"a new work order is answered":               {testutil.Member("east", testutil.Reached(1)), meshv1alpha1.ReasonConnecting, false},
		"a member that is down says so":              {testutil.Member("east", testutil.Reached(1), current), meshv1alpha1.ReasonConnectionDown, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := reconnecting(c.member, outcome(c.reason)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRemovalRank(t *testing.T) {
	components := []string{"claim", "trust", "base", "istiod-1-29-1", "istiod-1-28-3", "tags", "remote-secrets", "eastwest-1-29-1"}
	slices.SortStableFunc(components, func(a, b string) int { return removalRank(a) - removalRank(b) })
	want := []string{"eastwest-1-29-1", "remote-secrets", "tags", "istiod-1-29-1", "istiod-1-28-3", "base", "trust", "claim"}
	if diff := cmp.Diff(want, components); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
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
