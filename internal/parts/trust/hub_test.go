package trust

import (
	"errors"
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// hubWith is a hub with the objects.
func hubWith(t *testing.T, objects ...client.Object) Hub {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{meshv1alpha1.AddToScheme, corev1.AddToScheme, cmv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return Hub{Client: fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).Build()}
}

// certManager says of everything on the hub that it is ready, as cert-manager would, and issues the root if its Secret is
// missing: another one each time.
func certManager(t *testing.T, c client.Client) {
	t.Helper()
	certificates, issuers := &cmv1.CertificateList{}, &cmv1.IssuerList{}
	for _, l := range []client.ObjectList{certificates, issuers} {
		if err := c.List(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for i := range certificates.Items {
		certificate := &certificates.Items[i]
		if !certificate.DeletionTimestamp.IsZero() {
			continue
		}
		if certificate.Spec.SecretName == rootSecret && !exists(t, c, rootSecret) {
			create(t, c, rootIn(t, issue(t, "root", ecdsaKey(t), nil)))
		}
		certificate.Status.Conditions = []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: cmmeta.ConditionTrue}}
		update(t, c, certificate)
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

func TestEnsureMakesObjectsInTheOrderInWhichTheyWork(t *testing.T) {
	h := hubWith(t)
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	for _, step := range []struct {
		waits bool
		want  []string
	}{
		{true, []string{"issuer shop-selfsigned", "shop-root"}},
		// The root is pinned, and its Certificate, which is being deleted, waits for its Secret to have no owner.
		{true, []string{"issuer shop-root", "issuer shop-selfsigned", "shop-root"}},
		{false, []string{"issuer shop-root", "issuer shop-selfsigned", "shop-east-ca", "shop-west-ca"}},
		{false, []string{"issuer shop-root", "shop-east-ca", "shop-west-ca"}},
	} {
		waiting, err := h.Ensure(t.Context(), inst, now)
		if err != nil || (waiting != "") != step.waits {
			t.Errorf("it waits for %q, %v; want to wait: %v", waiting, err, step.waits)
		}
		if diff := cmp.Diff(step.want, certificateNames(t, h.Client)); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		certManager(t, h.Client)
	}
}

func TestEnsureLeavesCertificatesOfOthersAlone(t *testing.T) {
	theirs := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: "shop-root", Namespace: testutil.Namespace}, Spec: cmv1.CertificateSpec{SecretName: "theirs"}}
	h := hubWith(t, theirs)
	if _, err := h.Ensure(t.Context(), testutil.Installation(testutil.With("east")), now); !errors.Is(err, hub.ErrNotOurs) {
		t.Errorf("error is %v, want ErrNotOurs", err)
	}
	have := &cmv1.Certificate{}
	if err := h.Client.Get(t.Context(), client.ObjectKeyFromObject(theirs), have); err != nil || have.Spec.SecretName != "theirs" {
		t.Errorf("it was changed: %+v, %v", have.Spec, err)
	}
}

func secretNames(t *testing.T, h Hub) []string {
	t.Helper()
	secrets := &corev1.SecretList{}
	if err := h.Client.List(t.Context(), secrets); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range secrets.Items {
		out = append(out, secrets.Items[i].Name)
	}
	return out
}

func TestCertificatesGoWithTheirSecrets(t *testing.T) {
	issuer := rootFrom(meshv1alpha1.TrustRoot{IssuerRef: &meshv1alpha1.IssuerRef{Name: "vault"}})
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: testutil.Namespace}}
	}
	theirs := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{
		Name: "theirs", Namespace: testutil.Namespace, Labels: map[string]string{meshv1alpha1.LabelInstallation: testutil.Mesh},
	}, Spec: cmv1.CertificateSpec{SecretName: "theirs"}}
	h := hubWith(t, secret("shop-east-ca"), secret("shop-west-ca"), secret("theirs"), theirs)
	both := testutil.Installation(testutil.With("east"), testutil.With("west"), issuer)
	east := testutil.Installation(testutil.With("east"), issuer)
	for _, step := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"a member left", func() error {
			_, before := h.Ensure(t.Context(), both, now)
			_, after := h.Ensure(t.Context(), east, now)
			return errors.Join(before, after)
		}, []string{"shop-east-ca", "theirs"}},
		{"the mesh goes", func() error { return h.Remove(t.Context(), east) }, []string{"theirs"}},
		{"there is nothing left", func() error { return h.Remove(t.Context(), east) }, []string{"theirs"}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, certificateNames(t, h.Client)); diff != "" {
			t.Errorf("%s: certificates (-want +got):\n%s", step.what, diff)
		}
		if diff := cmp.Diff(step.want, secretNames(t, h)); diff != "" {
			t.Errorf("%s: Secrets (-want +got):\n%s", step.what, diff)
		}
	}
}
