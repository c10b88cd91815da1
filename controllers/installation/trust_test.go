package installation

import (
	"slices"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// hubReconciler is a reconciler over a hub with the objects.
func hubReconciler(t *testing.T, objects ...client.Object) *Reconciler {
	t.Helper()
	return &Reconciler{
		Client: testutil.HubClient(t, objects...),
		Events: events.NewFakeRecorder(10), Now: func() time.Time { return testutil.Now },
	}
}

func TestCertificatesThatTakeTooLongAreAFailure(t *testing.T) {
	r := hubReconciler(t)
	inst := testutil.Installation(testutil.With("east"))
	inst.CreationTimestamp = metav1.NewTime(testutil.Now.Add(-trust.IssueDeadline))
	members := testutil.Members(testutil.Member("east", rootless))
	if got := r.certificates(t.Context(), inst, members); got.Kind != phase.Retry || got.Reason != meshv1alpha1.ReasonDeadlineExceeded {
		t.Errorf("result is %+v, want a deadline that is exceeded", got)
	}
}

// rootless is a member that has reported that it belongs to no root.
func rootless(m *meshv1alpha1.MeshMember) { m.Status.Trust.ClaimedRoot = mesh.Claimed("") }

func TestTroubleWithTheRootHoldsUpNothingElse(t *testing.T) {
	claims := func(root string) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) { m.Status.Trust.ClaimedRoot = mesh.Claimed(root) }
	}
	cases := map[string]struct {
		members    []meshv1alpha1.MeshMember
		wantKind   phase.Kind
		wantReason string
		wantPinned []string
	}{
		"it is not known yet whether members have a root": {
			testutil.Members(testutil.Member("east", rootless)), phase.Wait, meshv1alpha1.ReasonWaitingForMembers, nil,
		},
		"members differ": {
			testutil.Members(testutil.Member("east", claims("a")), testutil.Member("west", claims("b"))), phase.Stalled, meshv1alpha1.ReasonForeignRoot, nil,
		},
		"the hub has lost the root that a member knows": {
			testutil.Members(testutil.Member("east", claims("a"))), phase.Stalled, meshv1alpha1.ReasonRootMissing, []string{"a"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, inst := hubReconciler(t), testutil.Installation(testutil.With("east"), testutil.With("west"))
			outcomes := r.converge(t.Context(), inst, c.members)
			i := slices.IndexFunc(outcomes, func(o status.Outcome) bool { return o.Type == meshv1alpha1.ConditionTrustRootReady })
			if got := outcomes[i].Result; got.Kind != c.wantKind || got.Reason != c.wantReason {
				t.Errorf("result is %s %s: %s, want %s %s", got.Kind, got.Reason, got.Text(), c.wantKind, c.wantReason)
			}
			if diff := cmp.Diff(c.wantPinned, inst.Status.Trust.PinnedRoot); diff != "" {
				t.Errorf("pinned root (-want +got):\n%s", diff)
			}
			members, err := r.members(t.Context(), inst)
			if err != nil || len(members) != 2 {
				t.Fatalf("members are %v, %v, want them to be planned", members, err)
			}
			if diff := cmp.Diff(c.wantPinned, members[0].Spec.PinnedRoot); diff != "" {
				t.Errorf("root of the work order (-want +got):\n%s", diff)
			}
			certificates := &cmv1.CertificateList{}
			if err := r.Client.List(t.Context(), certificates); err != nil || len(certificates.Items) > 0 {
				t.Errorf("something is issued: %v, %v", certificates.Items, err)
			}
		})
	}
}

func TestWriteMembers(t *testing.T) {
	r := hubReconciler(t)
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	if got := r.converge(t.Context(), withIssuer(inst), nil); len(got) == 0 {
		t.Fatal("no outcome")
	}
	members, err := r.members(t.Context(), inst)
	if err != nil || len(members) != 2 {
		t.Fatalf("members are %v, %v", members, err)
	}
	for i := range members {
		m := &members[i]
		if !metav1.IsControlledBy(m, inst) || len(m.Finalizers) != 1 || m.Finalizers[0] != meshv1alpha1.Finalizer {
			t.Errorf("%s: owner %v, finalizers %v", m.Name, m.OwnerReferences, m.Finalizers)
		}
	}
	inst.Spec.Members, inst.Spec.DeletionPolicy = inst.Spec.Members[:1], meshv1alpha1.DeletionPolicyForce
	r.converge(t.Context(), inst, members)
	members, err = r.members(t.Context(), inst)
	if err != nil || len(members) != 2 || members[0].DeletionTimestamp != nil || members[1].DeletionTimestamp == nil {
		t.Errorf("members are %v, %v, want west to be deleted", members, err)
	}
}

// withIssuer spares a mesh the wait for a root of its own.
func withIssuer(inst *meshv1alpha1.MeshInstallation) *meshv1alpha1.MeshInstallation {
	inst.Spec.Trust.Root.IssuerRef = &meshv1alpha1.IssuerRef{Name: "vault"}
	return inst
}

func TestAnotherVersionStartsAnUpgrade(t *testing.T) {
	inst := withIssuer(testutil.Installation(testutil.With("east")))
	inst.Spec.Version = "1.28.3"
	serving := testutil.Member("east", testutil.Ready(), testutil.Reached(1))
	r := hubReconciler(t)
	outcomes := r.converge(t.Context(), inst, testutil.Members(serving))
	if first := outcomes[0].Result; first.Kind != phase.Wait || first.Reason != meshv1alpha1.ReasonUpgrading {
		t.Errorf("result is %+v, want Upgrading", first)
	}
	found := &meshv1alpha1.MeshUpgradeList{}
	if err := r.Client.List(t.Context(), found); err != nil || len(found.Items) != 1 || found.Items[0].Spec.To.Version != "1.28.3" {
		t.Errorf("upgrades are %v, %v, want one to 1.28.3", found.Items, err)
	}
}

func TestJudgeRoot(t *testing.T) {
	const day, intermediate = 24 * time.Hour, 90 * 24 * time.Hour
	cases := map[string]struct {
		since, left time.Duration
		undated     bool
		wantReason  string
		wantAfter   time.Duration
	}{
		"ten years, just made":                       {left: 3650 * day, wantReason: meshv1alpha1.ReasonReady, wantAfter: outcome.ExpiryRecheck},
		"ten years, two left":                        {since: 2920 * day, left: 730 * day, wantReason: meshv1alpha1.ReasonReady, wantAfter: outcome.ExpiryRecheck},
		"ten years, one left":                        {since: 3285 * day, left: 365 * day, wantReason: meshv1alpha1.ReasonRootExpiring, wantAfter: outcome.ExpiryRecheck},
		"two years, half of one left":                {since: 548 * day, left: 182 * day, wantReason: meshv1alpha1.ReasonReady, wantAfter: outcome.ExpiryRecheck},
		"two years, a fifth left":                    {since: 584 * day, left: 146 * day, wantReason: meshv1alpha1.ReasonRootExpiring, wantAfter: outcome.ExpiryRecheck},
		"half a year: intermediates outlive it":      {since: 92 * day, left: 90 * day, wantReason: meshv1alpha1.ReasonRootExpiring, wantAfter: outcome.ExpiryRecheck},
		"a month: intermediates outlive it at once":  {left: 30 * day, wantReason: meshv1alpha1.ReasonRootExpiring, wantAfter: outcome.ExpiryRecheck},
		"the last hour":                              {since: 3650 * day, left: time.Hour, wantReason: meshv1alpha1.ReasonRootExpiring, wantAfter: time.Hour},
		"it is over":                                 {since: 3650 * day, left: 0, wantReason: meshv1alpha1.ReasonRootExpired},
		"its beginning is not known, two years left": {undated: true, left: 730 * day, wantReason: meshv1alpha1.ReasonReady, wantAfter: outcome.ExpiryRecheck},
		"its beginning is not known, one year left":  {undated: true, left: 365 * day, wantReason: meshv1alpha1.ReasonRootExpiring, wantAfter: outcome.ExpiryRecheck},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			from := testutil.Now.Add(-c.since)
			if c.undated {
				from = time.Time{}
			}
			got := judgeRoot(from, testutil.Now.Add(c.left), intermediate, testutil.Now)
			if got.Reason != c.wantReason || got.After != c.wantAfter || (got.Kind == phase.Done) != (c.wantReason == meshv1alpha1.ReasonReady) {
				t.Errorf("%s %s, again after %s, want %s, %s (%s)", got.Kind, got.Reason, got.After, c.wantReason, c.wantAfter, got.Text())
			}
		})
	}
}

// TestRootExpiry wants the end of the root to be a condition on which Ready does not depend, also when the root is not on the hub any more.
func TestRootExpiry(t *testing.T) {
	r, inst := hubReconciler(t), testutil.Installation(testutil.With("east"))
	if got, err := r.rootExpiry(t.Context(), inst); len(got) > 0 || err != nil {
		t.Errorf("without a root: %v, %v", got, err)
	}
	inst.Status.Trust.PinnedRoot = []string{"a"}
	if got, err := r.rootExpiry(t.Context(), inst); len(got) > 0 || err != nil {
		t.Errorf("of a root that has never been seen: %v, %v", got, err)
	}
	inst.Status.Trust.NotAfter = &metav1.Time{Time: testutil.Now.Add(time.Hour)}
	got, err := r.rootExpiry(t.Context(), inst)
	if err != nil || len(got) != 1 || got[0].Type != meshv1alpha1.ConditionTrustRootCurrent || !got[0].Aside || got[0].Result.Reason != meshv1alpha1.ReasonRootExpiring {
		t.Errorf("of a root that ends in an hour: %+v, %v", got, err)
	}
}

// TestAnUnusableRootHoldsUpNothingElse wants the members to be planned, and the reason to be on the mesh and its members.
func TestAnUnusableRootHoldsUpNothingElse(t *testing.T) {
	if holdsUp(phase.Stall(meshv1alpha1.ReasonRootUnusable, trust.ErrRootUnusable)) {
		t.Error("a root that cannot be used stops the planning of members")
	}
}
