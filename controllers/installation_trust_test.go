package controllers

import (
	"errors"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
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

// certManager says of everything on the hub that it is ready, as cert-manager would.
func certManager(t *testing.T, c client.Client) {
	t.Helper()
	certificates, issuers := &cmv1.CertificateList{}, &cmv1.IssuerList{}
	for _, l := range []client.ObjectList{certificates, issuers} {
		if err := c.List(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for i := range certificates.Items {
		certificates.Items[i].Status.Conditions = []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: cmmeta.ConditionTrue}}
		update(t, c, &certificates.Items[i])
	}
	for i := range issuers.Items {
		issuers.Items[i].Status.Conditions = []cmv1.IssuerCondition{{Type: cmv1.IssuerConditionReady, Status: cmmeta.ConditionTrue}}
		update(t, c, &issuers.Items[i])
	}
}

func update(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// names of the cert-manager objects on the hub, issuers first.
func certificateNames(t *testing.T, c client.Client) []string {
	t.Helper()
	certificates, issuers := &cmv1.CertificateList{}, &cmv1.IssuerList{}
	for _, l := range []client.ObjectList{certificates, issuers} {
		if err := c.List(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for i := range issuers.Items {
		out = append(out, "issuer "+issuers.Items[i].Name)
	}
	for i := range certificates.Items {
		out = append(out, certificates.Items[i].Name)
	}
	return out
}

func TestCertificatesAreMadeInTheOrderInWhichTheyWork(t *testing.T) {
	r := hubReconciler(t)
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	inst.CreationTimestamp = metav1.NewTime(now)
	for _, step := range []struct {
		wantKind phase.Kind
		want     []string
	}{
		{phase.Wait, []string{"issuer shop-selfsigned", "shop-root"}},
		{phase.Wait, []string{"issuer shop-root", "issuer shop-selfsigned", "shop-root"}},
		{phase.Done, []string{"issuer shop-root", "issuer shop-selfsigned", "shop-east-ca", "shop-root", "shop-west-ca"}},
	} {
		got := r.certificates(t.Context(), inst)
		if got.Kind != step.wantKind {
			t.Errorf("kind is %v (%s), want %v", kinds[got.Kind], got.Text(), kinds[step.wantKind])
		}
		if diff := cmp.Diff(step.want, certificateNames(t, r.Client)); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		certManager(t, r.Client)
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

func TestCertificatesOfOthersAreLeftAlone(t *testing.T) {
	theirs := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: "shop-root", Namespace: testutil.Namespace}, Spec: cmv1.CertificateSpec{SecretName: "theirs"}}
	r := hubReconciler(t, theirs)
	got := r.certificates(t.Context(), testutil.Installation(testutil.With("east")))
	if got.Kind == phase.Done || !errors.Is(got.Err, errNotOurs) {
		t.Errorf("result is %+v, want errNotOurs", got)
	}
	have := &cmv1.Certificate{}
	if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(theirs), have); err != nil || have.Spec.SecretName != "theirs" {
		t.Errorf("it was changed: %+v, %v", have.Spec, err)
	}
}

func TestCertificatesOfMembersThatLeftGo(t *testing.T) {
	issuer := func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Trust.Root.IssuerRef = &meshv1alpha1.IssuerRef{Name: "vault"}
	}
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: testutil.Namespace}}
	}
	r := hubReconciler(t, secret("shop-east-ca"), secret("shop-west-ca"))
	if got := r.certificates(t.Context(), testutil.Installation(testutil.With("east"), testutil.With("west"), issuer)); got.Kind != phase.Done {
		t.Fatalf("result is %+v", got)
	}
	if got := r.certificates(t.Context(), testutil.Installation(testutil.With("east"), issuer)); got.Kind != phase.Done {
		t.Fatalf("result is %+v", got)
	}
	if diff := cmp.Diff([]string{"shop-east-ca"}, certificateNames(t, r.Client)); diff != "" {
		t.Errorf("certificates (-want +got):\n%s", diff)
	}
	secrets := &corev1.SecretList{}
	if err := r.Client.List(t.Context(), secrets); err != nil || len(secrets.Items) != 1 || secrets.Items[0].Name != "shop-east-ca" {
		t.Errorf("Secrets are %v, %v, want that of east", secrets.Items, err)
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
