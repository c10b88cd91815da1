package controllers

import (
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// hubReconciler is a reconciler over a hub with the objects.
func hubReconciler(t *testing.T, objects ...client.Object) *MeshInstallationReconciler {
	t.Helper()
	s := scheme(t)
	if err := cmv1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return &MeshInstallationReconciler{
		Client: fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).Build(),
		Events: events.NewFakeRecorder(10), Now: func() time.Time { return now },
	}
}

func TestCertificatesThatTakeTooLongAreAFailure(t *testing.T) {
	r := hubReconciler(t)
	inst := testutil.Installation(testutil.With("east"))
	inst.CreationTimestamp = metav1.NewTime(now.Add(-certificateDeadline))
	if got := r.certificates(t.Context(), inst); got.Kind != phase.Retry || got.Reason != meshv1alpha1.ReasonDeadlineExceeded {
		t.Errorf("result is %+v, want a deadline that is exceeded", got)
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
	inst.Spec.Members = inst.Spec.Members[:1]
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
	serving := testutil.Member("east", ready(), reached(1))
	r := hubReconciler(t)
	outcomes := r.converge(t.Context(), inst, fleetOf(serving))
	if first := outcomes[0].Result; first.Kind != phase.Wait || first.Reason != meshv1alpha1.ReasonUpgrading {
		t.Errorf("result is %+v, want Upgrading", first)
	}
	found := &meshv1alpha1.MeshUpgradeList{}
	if err := r.Client.List(t.Context(), found); err != nil || len(found.Items) != 1 || found.Items[0].Spec.To.Version != "1.28.3" {
		t.Errorf("upgrades are %v, %v, want one to 1.28.3", found.Items, err)
	}
}

func TestUsersOfSecret(t *testing.T) {
	east := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Spec.ClusterRef.KubeconfigSecret = &meshv1alpha1.SecretKeyRef{Name: "east-kubeconfig", Key: "value"}
		m.Spec.Peers = []meshv1alpha1.Peer{{Name: "north", ReaderSecret: "shop-north-reader"}}
	})
	r := &MeshMemberReconciler{Client: hubReconciler(t, east, testutil.Member("west")).Client}
	cases := map[string]struct {
		secret string
		want   []string
	}{
		"its intermediate":           {"shop-west-ca", []string{"shop-west"}},
		"its kubeconfig":             {"east-kubeconfig", []string{"shop-east"}},
		"the credential of its peer": {"shop-north-reader", []string{"shop-east"}},
		"its own credential":         {"shop-west-reader", []string{"shop-west"}},
		"a Secret that nobody uses":  {"another", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, key := range r.usersOfSecret(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.secret, Namespace: testutil.Namespace}}) {
				got = append(got, key.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSiblingsAreTheOthersOfTheMesh(t *testing.T) {
	elsewhere := testutil.Member("north", func(m *meshv1alpha1.MeshMember) {
		m.Name, m.Spec.Installation = "other-north", "other"
	})
	east, west := testutil.Member("east"), testutil.Member("west")
	r := &MeshMemberReconciler{Client: hubReconciler(t, east, west, elsewhere).Client}
	if got := r.siblings(t.Context(), east); len(got) != 1 || got[0].Name != "shop-west" {
		t.Errorf("siblings are %v, want west", got)
	}
}
