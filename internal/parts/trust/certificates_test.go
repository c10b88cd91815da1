package trust

import (
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func rootFrom(r meshv1alpha1.TrustRoot) func(*meshv1alpha1.MeshInstallation) {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Trust.Root = r }
}

func intermediateOf(duration, renewBefore time.Duration) func(*meshv1alpha1.MeshInstallation) {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Trust.Intermediate = meshv1alpha1.Intermediate{
			Duration: &metav1.Duration{Duration: duration}, RenewBefore: &metav1.Duration{Duration: renewBefore},
		}
	}
}

func TestPlan(t *testing.T) {
	cases := map[string]*meshv1alpha1.MeshInstallation{
		"a self-signed root by default": testutil.Installation(testutil.With("east"), testutil.With("west")),
		"an RSA root of the default size": testutil.Installation(testutil.With("east"), rootFrom(meshv1alpha1.TrustRoot{
			SelfSigned: &meshv1alpha1.SelfSignedRoot{Algorithm: "RSA", Duration: &metav1.Duration{Duration: 1000 * time.Hour}},
		})),
		"an ECDSA root of a chosen size, and lives of the intermediates": testutil.Installation(testutil.With("east"),
			rootFrom(meshv1alpha1.TrustRoot{SelfSigned: &meshv1alpha1.SelfSignedRoot{Algorithm: "ECDSA", Size: 384}}),
			intermediateOf(72*time.Hour, 48*time.Hour)),
		"an issuer of the user's, with defaults": testutil.Installation(testutil.With("east"),
			rootFrom(meshv1alpha1.TrustRoot{IssuerRef: &meshv1alpha1.IssuerRef{Name: "vault"}})),
		"an issuer of another group": testutil.Installation(testutil.With("east"), rootFrom(meshv1alpha1.TrustRoot{
			IssuerRef: &meshv1alpha1.IssuerRef{Name: "pca", Kind: "AWSPCAClusterIssuer", Group: "awspca.cert-manager.io"},
		})),
	}
	for name, inst := range cases {
		t.Run(name, func(t *testing.T) { testutil.Golden(t, describe(t, Plan(inst))) })
	}
}

// describe writes the objects down in the order in which they are made.
func describe(t *testing.T, w Wanted) string {
	t.Helper()
	var objects []any
	if w.Root != nil {
		objects = append(objects, w.SelfSigned, w.Root, w.RootIssuer)
	}
	for i := range w.Intermediates {
		objects = append(objects, &w.Intermediates[i])
	}
	var out []string
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		kind := "Issuer\n"
		if _, ok := o.(*cmv1.Certificate); ok {
			kind = "Certificate\n"
		}
		out = append(out, kind+strings.TrimSuffix(string(text), "status: {}\n"))
	}
	return strings.Join(out, "\n")
}

func TestPlanKeepsCommonNamesWithinTheLimit(t *testing.T) {
	long := strings.Repeat("a", 40)
	w := Plan(testutil.Installation(testutil.With(long), func(inst *meshv1alpha1.MeshInstallation) { inst.Name = long }))
	for _, c := range append(w.Intermediates, *w.Root) {
		if n := len(c.Spec.CommonName); n == 0 || n > 64 {
			t.Errorf("%s: common name of %d characters", c.Name, n)
		}
	}
}

func TestTheRootIsNotRenewedWhileIntermediatesRestOnIt(t *testing.T) {
	for _, life := range []time.Duration{0, 720 * time.Hour} {
		root := Plan(testutil.Installation(testutil.With("east"), rootFrom(meshv1alpha1.TrustRoot{
			SelfSigned: &meshv1alpha1.SelfSignedRoot{Duration: &metav1.Duration{Duration: life}},
		}), intermediateOf(72*time.Hour, 48*time.Hour))).Root
		if before := root.Spec.RenewBefore.Duration; before > 5*time.Minute {
			t.Errorf("a root of %s is renewed %s before its end", root.Spec.Duration.Duration, before)
		}
		if root.Spec.PrivateKey.RotationPolicy != cmv1.RotationPolicyNever {
			t.Errorf("rotation policy is %q: with another key nothing that was signed would be trusted", root.Spec.PrivateKey.RotationPolicy)
		}
	}
}

func TestSetLeavesWhatOthersHaveDefaulted(t *testing.T) {
	want := Plan(testutil.Installation(testutil.With("east"))).Intermediates[0].Spec
	have := want.DeepCopy()
	have.RevisionHistoryLimit, have.PrivateKey.Encoding = new(int32(1)), cmv1.PKCS1
	before := have.DeepCopy()
	Set(have, want)
	if diff := cmp.Diff(before, have); diff != "" {
		t.Errorf("setting what is set already changes it (-before +after):\n%s", diff)
	}
	empty := cmv1.CertificateSpec{}
	Set(&empty, want)
	if diff := cmp.Diff(want, empty); diff != "" {
		t.Errorf("set on an empty one (-want +got):\n%s", diff)
	}
}
