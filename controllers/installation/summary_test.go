package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestAggregateOne(t *testing.T) {
	east, west := testutil.Member("east", testutil.Ready()), testutil.Member("west", testutil.Ready())
	cases := map[string]struct {
		members     []meshv1alpha1.MeshMember
		wantKind    phase.Kind
		wantMessage string
	}{
		"all are ready":                {testutil.Members(east, west), phase.Done, "2 of 2 members"},
		"one is not planned yet":       {testutil.Members(east), phase.Wait, "1 of 2 members are planned"},
		"one that leaves is none":      {testutil.Members(east, testutil.Member("west", testutil.Ready(), testutil.Departing(meshv1alpha1.RemovalWhenUnused))), phase.Wait, "1 of 2 members are planned"},
		"one was not observed yet":     {testutil.Members(east, testutil.Member("west")), phase.Wait, "1 of 2 members not ready (west); west: not observed yet"},
		"one has a newer work order":   {testutil.Members(east, testutil.Member("west", testutil.Ready(), testutil.Stale())), phase.Wait, "1 of 2 members not ready (west); west: not observed yet"},
		"one waits":                    {testutil.Members(east, testutil.Member("west", testutil.Ready(), testutil.Conditions("GatewaysReady=False WaitingForAddress", "Ready=Unknown WaitingForAddress"))), phase.Wait, "1 of 2 members not ready (west); west: WaitingForAddress: so it is"},
		"one fails":                    {testutil.Members(east, testutil.Member("west", testutil.Ready(), testutil.Conditions("GatewaysReady=False DeadlineExceeded", "Ready=False DeadlineExceeded"))), phase.Retry, "1 of 2 members not ready (west); west: DeadlineExceeded: so it is"},
		"one is down":                  {testutil.Members(east, testutil.Member("west", testutil.Ready(), testutil.Conditions("GatewaysReady=Unknown ConnectionDown", "Ready=Unknown ConnectionDown"))), phase.Wait, "1 of 2 members not ready (west); west: ConnectionDown: so it is"},
		"the worst is told of several": {testutil.Members(testutil.Member("east", testutil.Conditions("GatewaysReady=False ObjectConflict", "Ready=False ObjectConflict", "Stalled=True ObjectConflict")), testutil.Member("west")), phase.Stalled, "2 of 2 members not ready (east, west); east: ObjectConflict: so it is"},
	}
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := aggregateOne(inst, c.members, servingMembers(c.members), meshv1alpha1.ConditionGatewaysReady)
			if got.Kind != c.wantKind {
				t.Errorf("kind is %v, want %v", got.Kind, c.wantKind)
			}
			if diff := cmp.Diff(c.wantMessage, got.Text()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMembersWithAnotherRootAreNotReady(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	inst.Status.Trust.PinnedRoot = []string{"a"}
	members := testutil.Members(testutil.Member("east", testutil.Ready(), testutil.Root("a")), testutil.Member("west", testutil.Ready(), testutil.Root("b")))
	got := aggregateOne(inst, members, servingMembers(members), meshv1alpha1.ConditionTrustRootReady)
	want := "1 of 2 members not ready (west); west: istiod hands out root b, the mesh has a; take the member out of spec.members, and add it " +
		"again when it is gone"
	if diff := cmp.Diff(want, got.Text()); diff != "" || got.Kind != phase.Stalled || got.Reason != meshv1alpha1.ReasonForeignRoot {
		t.Errorf("result is %s %s, message (-want +got):\n%s", got.Kind, got.Reason, diff)
	}
	if got := aggregateOne(inst, members[:1], servingMembers(members[:1]), meshv1alpha1.ConditionGatewaysReady); got.Reason == meshv1alpha1.ReasonForeignRoot {
		t.Errorf("gateways have no root: %+v", got)
	}
}

// TestConditionsDoNotFlickerDuringAnUpgrade gives a member a work order that it has not seen yet.
func TestConditionsDoNotFlickerDuringAnUpgrade(t *testing.T) {
	parts := []string{
		meshv1alpha1.ConditionTrustRootReady, meshv1alpha1.ConditionControlPlanesReady, meshv1alpha1.ConditionGatewaysReady, meshv1alpha1.ConditionDiscoveryReady,
	}
	failed := testutil.Conditions("ControlPlanesReady=False WaitingForIstiod", "GatewaysReady=False WaitingForIstiod", "TrustRootReady=False WaitingForIstiod",
		"DiscoveryReady=False WaitingForIstiod", "Ready=Unknown WaitingForIstiod")
	down := testutil.Conditions("ControlPlanesReady=Unknown ConnectionDown", "GatewaysReady=Unknown ConnectionDown", "TrustRootReady=Unknown ConnectionDown",
		"DiscoveryReady=Unknown ConnectionDown", "Ready=Unknown ConnectionDown")
	const waits = "1 of 1 members not ready (east); east: not observed yet"
	cases := map[string]struct {
		member    *meshv1alpha1.MeshMember
		want      string
		wantReady string
	}{
		"another order of an upgrade leaves what was good":    {testutil.Member("east", testutil.Ready(), testutil.Ordered(), testutil.Reported(), testutil.Stale()), "1 of 1 members", waits},
		"the first order of an upgrade, too":                  {testutil.Member("east", testutil.Ready(), testutil.Ordered(), testutil.Stale()), "1 of 1 members", waits},
		"and the first one after it":                          {testutil.Member("east", testutil.Ready(), testutil.Reported(), testutil.Stale()), "1 of 1 members", waits},
		"another order leaves what was not good":              {testutil.Member("east", testutil.Ready(), failed, testutil.Ordered(), testutil.Stale()), "1 of 1 members not ready (east); east: WaitingForIstiod: so it is", waits},
		"and what could not be known":                         {testutil.Member("east", testutil.Ready(), down, testutil.Ordered(), testutil.Stale()), "1 of 1 members not ready (east); east: ConnectionDown: so it is", waits},
		"what a member has never said is not known":           {testutil.Member("east", testutil.Ordered(), testutil.Stale()), waits, waits},
		"without an upgrade another work order is to be seen": {testutil.Member("east", testutil.Ready(), testutil.Stale()), waits, waits},
		"once it was seen everything counts":                  {testutil.Member("east", testutil.Ordered(), testutil.Reported(), testutil.Ready()), "1 of 1 members", "1 of 1 members"},
	}
	inst := testutil.Installation(testutil.With("east"))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, kind := range parts {
				if diff := cmp.Diff(c.want, aggregateOne(inst, testutil.Members(c.member), servingMembers(testutil.Members(c.member)), kind).Message); diff != "" {
					t.Errorf("%s (-want +got):\n%s", kind, diff)
				}
			}
			if diff := cmp.Diff(c.wantReady, aggregateOne(inst, testutil.Members(c.member), servingMembers(testutil.Members(c.member)), meshv1alpha1.ConditionReady).Message); diff != "" {
				t.Errorf("Ready (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProofThatIsOlderThanAPeerDoesNotCount(t *testing.T) {
	sees := func(peers ...meshv1alpha1.PeerStatus) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) {
			m.Spec.Peers, m.Status.Discovery.Peers = []meshv1alpha1.Peer{{Name: "west"}}, peers
		}
	}
	west := meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerSynced}
	missing := meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerMissing}
	cases := map[string]struct {
		east, west *meshv1alpha1.MeshMember
		want       phase.Kind
	}{
		"a peer that serves was seen":                {testutil.Member("east", testutil.Ready(), sees(west)), testutil.Member("west", testutil.Ready(), testutil.Reached(1)), phase.Done},
		"it has begun to serve since":                {testutil.Member("east", testutil.Ready(), sees(missing)), testutil.Member("west", testutil.Ready(), testutil.Reached(1)), phase.Wait},
		"it is new since":                            {testutil.Member("east", testutil.Ready(), sees()), testutil.Member("west", testutil.Ready(), testutil.Reached(1)), phase.Wait},
		"one that has never served need not be seen": {testutil.Member("east", testutil.Ready(), sees(missing)), testutil.Member("west", testutil.Ready(), testutil.Reached(0)), phase.Done},
	}
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{meshv1alpha1.ConditionDiscoveryReady, meshv1alpha1.ConditionReady} {
				if got := aggregateOne(inst, testutil.Members(c.east, c.west), servingMembers(testutil.Members(c.east, c.west)), kind); got.Kind != c.want {
					t.Errorf("%s is %v (%s), want %v", kind, got.Kind, got.Text(), c.want)
				}
			}
			if got := aggregateOne(inst, testutil.Members(c.east, c.west), servingMembers(testutil.Members(c.east, c.west)), meshv1alpha1.ConditionGatewaysReady); got.Kind != phase.Done {
				t.Errorf("GatewaysReady is %v (%s)", got.Kind, got.Text())
			}
		})
	}
}

func TestAvailability(t *testing.T) {
	starting := testutil.Member("west", testutil.Reached(0), testutil.Conditions("Available=False WaitingForIstiod"))
	cases := map[string]struct {
		members []meshv1alpha1.MeshMember
		want    phase.Kind
	}{
		"no control plane serves yet":                {testutil.Members(starting), phase.Wait},
		"all serve":                                  {testutil.Members(testutil.Member("east", testutil.Ready())), phase.Done},
		"one that joins takes nothing away":          {testutil.Members(testutil.Member("east", testutil.Ready()), testutil.Member("west")), phase.Done},
		"one whose istiod starts for the first time": {testutil.Members(testutil.Member("east", testutil.Ready()), starting), phase.Done},
		"a new work order takes nothing away":        {testutil.Members(testutil.Member("east", testutil.Ready(), testutil.Stale())), phase.Done},
		"one that served is down":                    {testutil.Members(testutil.Member("east", testutil.Ready()), testutil.Member("west", testutil.Reached(0), testutil.Root("a"), testutil.Conditions("Available=Unknown ConnectionDown"))), phase.Wait},
		"one that served is removed":                 {testutil.Members(testutil.Member("east", testutil.Ready()), testutil.Member("west", testutil.Reached(0), testutil.Root("a"), testutil.Departing(meshv1alpha1.RemovalNow))), phase.Done},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := availability(c.members); got.Kind != c.want {
				t.Errorf("kind is %v (%s), want %v", got.Kind, got.Text(), c.want)
			}
		})
	}
}

func TestAggregateGivesEachConditionOnce(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	var got []string
	for _, o := range aggregate(inst, testutil.Members(testutil.Member("east", testutil.Ready()))) {
		got = append(got, o.Type+" "+o.Result.Kind.String())
	}
	want := []string{"TrustRootReady done", "ControlPlanesReady done", "GatewaysReady done", "DiscoveryReady done", " done", "Available done", "TagsCurrent done", "HubSecretsProtected done", "CredentialCurrent done"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestSummarise(t *testing.T) {
	serving := func(v string) func(*meshv1alpha1.MeshInstallation) {
		return func(inst *meshv1alpha1.MeshInstallation) {
			inst.Status.EffectiveVersion, inst.Status.Revision = v, strings.ReplaceAll(v, ".", "-")
		}
	}
	down := testutil.Member("west", testutil.Conditions("Reachable=Unknown ConnectionDown", "Ready=Unknown ConnectionDown"), testutil.Root("b"))
	cases := map[string]struct {
		status  func(*meshv1alpha1.MeshInstallation)
		members []meshv1alpha1.MeshMember
		want    meshv1alpha1.MeshInstallationStatus
	}{
		"no member yet": {want: meshv1alpha1.MeshInstallationStatus{Members: meshv1alpha1.MemberCounts{Total: 2}}},
		"one is ready, one is down": {members: testutil.Members(testutil.Member("east", testutil.Ready(), testutil.Reached(1), testutil.Root("b", "a")), down),
			want: meshv1alpha1.MeshInstallationStatus{
				EffectiveVersion: "1.29.1", Revision: "1-29-1", Members: meshv1alpha1.MemberCounts{Total: 2, Ready: 1, Unreachable: 1},
				Revisions: []meshv1alpha1.RevisionMembers{{Name: "1-29-1", Version: "1.29.1", Members: 2}},
				Trust:     meshv1alpha1.TrustStatus{RootFingerprints: []string{"a", "b"}},
			}},
		"an istiod that does not serve fixes no version": {members: testutil.Members(testutil.Member("east", testutil.Reached(0))),
			want: meshv1alpha1.MeshInstallationStatus{Members: meshv1alpha1.MemberCounts{Total: 2}}},
		"the version that is fixed stays": {status: serving("1.28.3"), members: testutil.Members(testutil.Member("east", testutil.Reached(1))),
			want: meshv1alpha1.MeshInstallationStatus{EffectiveVersion: "1.28.3", Revision: "1-28-3", Members: meshv1alpha1.MemberCounts{Total: 2},
				Revisions: []meshv1alpha1.RevisionMembers{{Name: "1-29-1", Version: "1.29.1", Members: 1}}}},
		"readiness for a former work order does not count": {members: testutil.Members(testutil.Member("east", testutil.Ready(), testutil.Stale())),
			want: meshv1alpha1.MeshInstallationStatus{Members: meshv1alpha1.MemberCounts{Total: 2}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
			if c.status != nil {
				c.status(inst)
			}
			summarise(inst, c.members)
			if diff := cmp.Diff(c.want, inst.Status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestList(t *testing.T) {
	cases := map[string]struct {
		names []string
		want  string
	}{
		"none":         {nil, ""},
		"sorted":       {[]string{"b", "a"}, "a, b"},
		"not too many": {[]string{"g", "f", "e", "d", "c", "b", "a"}, "a, b, c, d, e and 2 more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := mesh.List(c.names, len(c.names)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestMembersComeInOneOrder(t *testing.T) {
	unlabelled := owned(testutil.Installation())
	unlabelled.Name, unlabelled.Spec.Cluster, unlabelled.Labels = "shop-b", "b", nil
	store := fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).WithObjects(
		testutil.Member("a"), unlabelled, testutil.Member("c"),
		testutil.Member("other", func(m *meshv1alpha1.MeshMember) { m.Labels[meshv1alpha1.LabelInstallation] = "other" })).Build()
	r := &Reconciler{Client: interceptor.NewClient(store, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			slices.Reverse(list.(*meshv1alpha1.MeshMemberList).Items)
			return err
		},
	})}
	members, err := r.members(t.Context(), testutil.Installation())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range members {
		got = append(got, members[i].Spec.Cluster)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func TestFinishWritesTheStatusOnlyWhenItChanges(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	writes := 0
	store := fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).WithObjects(inst).WithStatusSubresource(inst).Build()
	recorder := events.NewFakeRecorder(10)
	r := &Reconciler{Events: recorder, Now: func() time.Time { return testutil.Now }, Client: interceptor.NewClient(store, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			writes++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})}
	for pass := range 3 {
		have := &meshv1alpha1.MeshInstallation{}
		if err := store.Get(t.Context(), client.ObjectKeyFromObject(inst), have); err != nil {
			t.Fatal(err)
		}
		r.Now = func() time.Time { return testutil.Now.Add(time.Duration(pass) * time.Hour) }
		if _, err := r.finish(t.Context(), have.DeepCopy(), have, []status.Outcome{{Type: "A", Result: phase.Complete("Ready", "it holds")}}); err != nil {
			t.Fatal(err)
		}
	}
	if writes != 1 || len(recorder.Events) != 1 {
		t.Errorf("%d writes and %d events in three passes, want one of each", writes, len(recorder.Events))
	}
}

func TestFinishSaysWhenToComeBack(t *testing.T) {
	broken := errors.New("broken")
	conflict := apierrors.NewConflict(corev1.Resource("secrets"), "s", errors.New("changed"))
	memberFails := phase.Retrying(meshv1alpha1.ReasonWaitingForMembers, broken)
	memberFails.Message = "east: broken"
	cases := map[string]struct {
		result    phase.Result
		wantAfter time.Duration
		wantErr   error
	}{
		"done":                                    {result: phase.Complete("Ready", "")},
		"waiting for a while":                     {result: phase.Waiting("Progressing", "", time.Minute), wantAfter: time.Minute},
		"its own failure is retried":              {result: phase.Retrying("Retrying", broken), wantErr: broken},
		"a member's failure is the member's":      {result: memberFails},
		"a conflict is tried again without noise": {result: phase.Retrying("Retrying", conflict), wantAfter: outcome.ShortWait},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"))
			r := &Reconciler{
				Client: fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).WithObjects(inst).WithStatusSubresource(inst).Build(),
				Events: events.NewFakeRecorder(10), Now: func() time.Time { return testutil.Now },
			}
			got, err := r.finish(t.Context(), inst.DeepCopy(), inst, []status.Outcome{{Result: c.result}})
			if !errors.Is(err, c.wantErr) || got.RequeueAfter != c.wantAfter {
				t.Errorf("requeue after %v, error %v, want %v and %v", got.RequeueAfter, err, c.wantAfter, c.wantErr)
			}
		})
	}
}

// TestWorkOrdersPlannedFromAnOlderStatusAreAConflict: what was planned for a member that serves nothing must not reach one that does.
func TestWorkOrdersPlannedFromAnOlderStatusAreAConflict(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	for name, c := range map[string]struct {
		existing []client.Object
		planned  func(*meshv1alpha1.MeshMember)
		want     bool
	}{
		"a new member": {nil, func(m *meshv1alpha1.MeshMember) { m.ResourceVersion = "" }, false},
		"one that was made meanwhile": {[]client.Object{owned(inst)}, func(m *meshv1alpha1.MeshMember) {
			m.ResourceVersion, m.Spec.DefaultRevision = "", "other"
		}, true},
		"one that has changed meanwhile": {[]client.Object{owned(inst)}, func(m *meshv1alpha1.MeshMember) {
			m.ResourceVersion, m.Spec.DefaultRevision = "1", "other"
		}, true},
		"one that is as it was planned from": {[]client.Object{owned(inst)}, func(m *meshv1alpha1.MeshMember) { m.Spec.DefaultRevision = "other" }, false},
		"one that is ordered nothing new":    {[]client.Object{owned(inst)}, func(m *meshv1alpha1.MeshMember) { m.ResourceVersion = "1" }, false},
		"one that is gone":                   {nil, func(m *meshv1alpha1.MeshMember) { m.ResourceVersion = "1" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := hubReconciler(t, c.existing...)
			for where, write := range map[string]func(plan.MembersPlan) error{
				"desired": func(p plan.MembersPlan) error { return r.writeMembers(t.Context(), inst, p, nil) },
				"leaving": func(p plan.MembersPlan) error {
					if len(c.existing) == 0 {
						return nil
					}
					return r.writeLeaving(t.Context(), inst, plan.MembersPlan{Leaving: p.Desired})
				},
			} {
				planned := *owned(inst)
				if len(c.existing) > 0 {
					have := &meshv1alpha1.MeshMember{}
					if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(&planned), have); err != nil {
						t.Fatal(err)
					}
					planned = *have
				}
				c.planned(&planned)
				err := write(plan.MembersPlan{Desired: []meshv1alpha1.MeshMember{planned}})
				if want := c.want && (where == "desired" || len(c.existing) > 0); apierrors.IsConflict(err) != want || !want && err != nil {
					t.Errorf("%s: error is %v, want a conflict: %v", where, err, want)
				}
			}
		})
	}
}

// owned is the MeshMember east that an installation made.
func owned(inst *meshv1alpha1.MeshInstallation) *meshv1alpha1.MeshMember {
	return testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
	})
}

// TestFinishTellsNothingOfAConflict: what was decided from an older object is out of date, and the next pass tells.
func TestFinishTellsNothingOfAConflict(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	before := inst.DeepCopy()
	r := hubReconciler(t)
	result, err := r.finish(t.Context(), before, inst, []status.Outcome{{Result: outcome.Failed(changedMeanwhile("shop-east"))}})
	if err != nil || result.RequeueAfter != outcome.ShortWait || len(inst.Status.Conditions) != 0 {
		t.Errorf("again after %s, error %v, conditions %v, want %s and nothing told", result.RequeueAfter, err, inst.Status.Conditions, outcome.ShortWait)
	}
}

func TestHubsRead(t *testing.T) {
	if got := hubsRead(testutil.Members(testutil.Member("east"), testutil.Member("west", testutil.Conditions("HubSecretsProtected=True Ready")))); got.Kind != phase.Done {
		t.Errorf("%s, want no hub read", got.Text())
	}
	got := hubsRead(testutil.Members(testutil.Member("east"), testutil.Member("hub", testutil.Conditions("HubSecretsProtected=False HubSecretsReadable"))))
	if got.Kind != phase.Wait || got.Reason != meshv1alpha1.ReasonHubSecretsReadable || !strings.HasPrefix(got.Text(), "hub: ") {
		t.Errorf("%+v, want the hub named", got)
	}
}

func TestCredentialsOfMembers(t *testing.T) {
	is := func(name, condition string) *meshv1alpha1.MeshMember {
		return testutil.Member(name, testutil.Conditions("CredentialCurrent="+condition))
	}
	if got := credentials(testutil.Members(testutil.Member("east"), is("west", "True Ready"))); got.Kind != phase.Done {
		t.Errorf("%s, want no credential to expire", got.Text())
	}
	got := credentials(testutil.Members(is("east", "False CredentialExpired"), is("north", "False CredentialShortLived"), is("west", "True Ready")))
	if got.Kind != phase.Wait || got.Reason != meshv1alpha1.ReasonCredentialExpired ||
		!strings.Contains(got.Text(), "east (CredentialExpired), north (CredentialShortLived)") || strings.Contains(got.Text(), "west") {
		t.Errorf("%+v, want two members named and the worst reason", got)
	}
	many := make([]*meshv1alpha1.MeshMember, 0, 100)
	for i := range 100 {
		many = append(many, is(fmt.Sprintf("m%02d", i), "False CredentialExpiring"))
	}
	if got := credentials(testutil.Members(many...)); len(got.Text()) > 500 {
		t.Errorf("the message has %d bytes: %s", len(got.Text()), got.Text())
	}
}

func TestKeptTagsOfMembers(t *testing.T) {
	keeping := func(tags ...string) func(*meshv1alpha1.MeshMember) {
		return func(m *meshv1alpha1.MeshMember) {
			for _, tag := range tags {
				m.Status.KeptTags = append(m.Status.KeptTags, meshv1alpha1.KeptTag{Name: tag})
			}
		}
	}
	if got := keptTags(testutil.Members(testutil.Member("east"), testutil.Member("west"))); got.Kind != phase.Done {
		t.Errorf("%s, want no tags kept", got.Text())
	}
	got := keptTags(testutil.Members(testutil.Member("east", keeping("prod", "beta")), testutil.Member("west"), testutil.Member("north", keeping("prod"))))
	if want := "2 members keep tags"; got.Kind != phase.Wait || !strings.HasPrefix(got.Text(), want) || !strings.Contains(got.Text(), "east (beta, prod), north (prod)") {
		t.Errorf("%q, want %q and the members with their tags", got.Text(), want)
	}
}
