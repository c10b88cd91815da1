package trust

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const rootSecret = "shop-root"

// rootIn is the Secret of a self-signed root.
func rootIn(t *testing.T, root *authority, options ...func(*corev1.Secret)) *corev1.Secret {
	t.Helper()
	s := secret(text(root), keyText(t, root), text(root))
	s.Name, s.Namespace = rootSecret, testutil.Namespace
	for _, o := range options {
		o(s)
	}
	return s
}

// signedIn is the Secret of a member's intermediate.
func signedIn(t *testing.T, member string, root *authority) *corev1.Secret {
	t.Helper()
	signing := issue(t, member, ecdsaKey(t), root)
	s := secret(text(signing), keyText(t, signing), text(root))
	s.Name, s.Namespace = "shop-"+member+"-ca", testutil.Namespace
	return s
}

func create(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func exists(t *testing.T, c client.Client, name string) bool {
	t.Helper()
	err := c.Get(t.Context(), client.ObjectKey{Namespace: testutil.Namespace, Name: name}, &corev1.Secret{})
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// settle reconciles until nothing is waited for. It returns what it waits for in the end.
func settle(t *testing.T, h Hub, inst *meshv1alpha1.MeshInstallation) (string, error) {
	t.Helper()
	var waiting string
	var err error
	for range 6 {
		waiting, err = h.Ensure(t.Context(), inst, now)
		certManager(t, h.Client)
	}
	return waiting, err
}

func pinnedTo(roots ...*authority) func(*meshv1alpha1.MeshInstallation) {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for _, r := range roots {
			inst.Status.Trust.PinnedRoot = append(inst.Status.Trust.PinnedRoot, fingerprint(r.cert))
		}
	}
}

// TestNoSecondRoot wants the root to be made once: what befalls its Secret or its Certificate later never makes another.
func TestNoSecondRoot(t *testing.T) {
	h, inst := hubWith(t), testutil.Installation(testutil.With("east"))
	if waiting, err := settle(t, h, inst); waiting != "" || err != nil {
		t.Fatalf("it waits for %q, %v", waiting, err)
	}
	pinned := inst.Status.Trust.PinnedRoot
	backup := &corev1.Secret{}
	if err := h.Client.Get(t.Context(), client.ObjectKey{Namespace: testutil.Namespace, Name: rootSecret}, backup); err != nil {
		t.Fatal(err)
	}
	if err := h.Client.Delete(t.Context(), backup.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	if _, err := settle(t, h, inst); !errors.Is(err, ErrRootMissing) {
		t.Errorf("error is %v, want ErrRootMissing", err)
	}
	if exists(t, h.Client, rootSecret) {
		t.Fatal("there is another root")
	}
	inst.Spec.Members = append(inst.Spec.Members, testutil.Installation(testutil.With("west")).Spec.Members...)
	if _, err := settle(t, h, inst); !errors.Is(err, ErrRootMissing) {
		t.Errorf("error is %v, want ErrRootMissing", err)
	}
	if diff := cmp.Diff([]string{"issuer shop-root", "shop-east-ca"}, certificateNames(t, h.Client)); diff != "" {
		t.Errorf("nothing is issued for a member that joins meanwhile (-want +got):\n%s", diff)
	}
	// A backup has no resource version, and here no labels either.
	create(t, h.Client, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: rootSecret, Namespace: testutil.Namespace}, Data: backup.Data})
	if waiting, err := settle(t, h, inst); waiting != "" || err != nil {
		t.Errorf("restored, it waits for %q, %v", waiting, err)
	}
	if diff := cmp.Diff(pinned, inst.Status.Trust.PinnedRoot); diff != "" {
		t.Errorf("pinned root (-before +after):\n%s", diff)
	}
	if err := h.Remove(t.Context(), inst); err != nil || exists(t, h.Client, rootSecret) {
		t.Errorf("the restored root is still there after the removal of the mesh (%v)", err)
	}
}

func TestAnotherRootIsRefused(t *testing.T) {
	key := ecdsaKey(t)
	ours, theirs := issue(t, "root", key, nil), issue(t, "root", ecdsaKey(t), nil)
	cases := map[string]struct {
		secret *corev1.Secret
		want   error
		says   string
	}{
		"no Secret":              {want: ErrRootMissing, says: "does not exist"},
		"a Secret without a key": {secret: rootIn(t, ours, func(s *corev1.Secret) { delete(s.Data, corev1.TLSPrivateKeyKey) }), want: ErrRootMissing, says: "cannot be used"},
		"the key of another":     {secret: rootIn(t, ours, func(s *corev1.Secret) { s.Data[corev1.TLSPrivateKeyKey] = keyText(t, theirs) }), want: ErrRootMissing, says: "cannot be used"},
		"another root":           {secret: rootIn(t, theirs), want: ErrRootChanged, says: mesh.ShortRoot([]string{fingerprint(theirs.cert)})},
		"another certificate of the same key": {
			secret: rootIn(t, issue(t, "root", key, nil)), want: ErrRootChanged, says: "another certificate of the same key",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"), testutil.With("west"), pinnedTo(ours))
			objects := []client.Object{signedIn(t, "east", ours)}
			if c.secret != nil {
				objects = append(objects, c.secret.DeepCopy())
			}
			h := hubWith(t, objects...)
			_, err := settle(t, h, inst)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), mesh.ShortRoot(inst.Status.Trust.PinnedRoot)) {
				t.Errorf("error is %v, want %v with %q and the pinned root", err, c.want, c.says)
			}
			if got := certificateNames(t, h.Client); len(got) > 0 {
				t.Errorf("with it is issued: %v", got)
			}
			if c.secret != nil {
				checkNoKey(t, err, c.secret)
			}
		})
	}
}

// TestAdoptedRoot takes over a mesh of a former release, whose root has a Certificate, also when cert-manager made that
// the Secret's owner: with the Certificate the Secret would go.
func TestAdoptedRoot(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	inst := testutil.Installation(testutil.With("east"), pinnedTo(root))
	certificate := Plan(inst).Root
	certificate.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
	certificate.Spec.CommonName = "as a former release wrote it"
	owned := rootIn(t, root, func(s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: rootSecret, UID: "c"}}
	})
	h := hubWith(t, certificate, owned)
	key := client.ObjectKeyFromObject(certificate)
	for pass := range 4 {
		if _, err := h.Ensure(t.Context(), inst, now); err != nil {
			t.Fatal(err)
		}
		secret, live := &corev1.Secret{}, &cmv1.Certificate{}
		if err := h.Client.Get(t.Context(), key, secret); err != nil {
			t.Fatal(err)
		}
		err := h.Client.Get(t.Context(), key, live)
		switch {
		case err == nil && live.DeletionTimestamp.IsZero():
			t.Errorf("pass %d: cert-manager may still work on the Certificate", pass)
		case err == nil && live.Spec.CommonName != certificate.Spec.CommonName:
			t.Errorf("pass %d: the Certificate was changed, from which cert-manager makes another root", pass)
		case client.IgnoreNotFound(err) != nil:
			t.Fatal(err)
		case err != nil && len(secret.OwnerReferences) > 0:
			t.Fatalf("pass %d: the Certificate is gone, and the Secret goes with it", pass)
		case err != nil && pass == 0:
			t.Error("it is gone at once, with nothing that holds it until its Secret is free")
		}
		certManager(t, h.Client)
	}
	if got := certificateNames(t, h.Client); cmp.Diff([]string{"issuer shop-root", "shop-east-ca"}, got) != "" {
		t.Errorf("in the end there are %v", got)
	}
}

func TestRootThatIsThereIsTaken(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	h, inst := hubWith(t, rootIn(t, root)), testutil.Installation(testutil.With("east"))
	if waiting, err := settle(t, h, inst); waiting != "" || err != nil {
		t.Fatalf("it waits for %q, %v", waiting, err)
	}
	if diff := cmp.Diff([]string{fingerprint(root.cert)}, inst.Status.Trust.PinnedRoot); diff != "" {
		t.Errorf("pinned root (-want +got):\n%s", diff)
	}
	for name, bad := range map[string]*authority{
		"one that has ended":      issue(t, "root", ecdsaKey(t), nil, lasting(-2*time.Hour, -time.Hour)),
		"one that may not sign":   issue(t, "root", ecdsaKey(t), nil, notCA),
		"one that another signed": issue(t, "root", ecdsaKey(t), root),
	} {
		inst := testutil.Installation(testutil.With("east"))
		waiting, err := hubWith(t, rootIn(t, bad)).Ensure(t.Context(), inst, now)
		if waiting == "" || err != nil || len(inst.Status.Trust.PinnedRoot) > 0 {
			t.Errorf("%s is taken (%q, %v)", name, waiting, err)
		}
	}
}

// TestRootsThatSignNoIntermediates wants no mesh to begin with a root of which no member could use a certificate.
func TestRootsThatSignNoIntermediates(t *testing.T) {
	leavesOnly := func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }
	root := issue(t, "root", ecdsaKey(t), nil, leavesOnly)
	theirs := func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Trust.Root.IssuerRef = &meshv1alpha1.IssuerRef{Name: "theirs"}
	}
	for name, c := range map[string]struct {
		inst    *meshv1alpha1.MeshInstallation
		objects []client.Object
	}{
		"the Secret of the root": {testutil.Installation(testutil.With("east")), []client.Object{rootIn(t, root)}},
		"the root of an issuer":  {testutil.Installation(testutil.With("east"), theirs), []client.Object{signedIn(t, "east", root)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hubWith(t, c.objects...).Ensure(t.Context(), c.inst, now)
			if !errors.Is(err, ErrRootUnusable) || !strings.Contains(err.Error(), "path length 0") || len(c.inst.Status.Trust.PinnedRoot) > 0 {
				t.Errorf("error is %v, pinned %v, want ErrRootUnusable and no root pinned", err, c.inst.Status.Trust.PinnedRoot)
			}
		})
	}
	enough := func(c *x509.Certificate) { c.MaxPathLen = 1 }
	inst := testutil.Installation(testutil.With("east"))
	if waiting, err := settle(t, hubWith(t, rootIn(t, issue(t, "root", ecdsaKey(t), nil, enough))), inst); waiting != "" || err != nil {
		t.Errorf("a root with the path length 1: it waits for %q, %v", waiting, err)
	}
}

// TestIntermediatesOfAnotherRootAreIssuedAgain is what is left behind when another root lay on the hub for a while.
func TestIntermediatesOfAnotherRootAreIssuedAgain(t *testing.T) {
	ours, theirs := issue(t, "root", ecdsaKey(t), nil), issue(t, "root", ecdsaKey(t), nil)
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"), pinnedTo(ours))
	h := hubWith(t, rootIn(t, ours), signedIn(t, "east", ours), signedIn(t, "west", theirs))
	if _, err := settle(t, h, inst); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"shop-east-ca", rootSecret}, secretNames(t, h)); diff != "" {
		t.Errorf("Secrets (-want +got):\n%s", diff)
	}
}

func TestRootOfAnIssuer(t *testing.T) {
	key := ecdsaKey(t)
	ours, theirs := issue(t, "root", key, nil), issue(t, "root", ecdsaKey(t), nil)
	own := rootFrom(meshv1alpha1.TrustRoot{IssuerRef: &meshv1alpha1.IssuerRef{Name: "vault"}})
	both := []func(*meshv1alpha1.MeshInstallation){testutil.With("east"), testutil.With("west"), own}
	cases := map[string]struct {
		pinned     func(*meshv1alpha1.MeshInstallation)
		secrets    []client.Object
		wantPinned *authority
		wantErr    error
		says       string
		wantWaits  bool
	}{
		"nothing is signed yet":               {pinned: pinnedTo(), wantWaits: true},
		"the first that is signed pins it":    {pinned: pinnedTo(), secrets: []client.Object{signedIn(t, "west", ours)}, wantPinned: ours},
		"the pinned one goes on":              {pinned: pinnedTo(ours), secrets: []client.Object{signedIn(t, "east", ours)}, wantPinned: ours},
		"another is refused":                  {pinned: pinnedTo(ours), secrets: []client.Object{signedIn(t, "east", ours), signedIn(t, "west", theirs)}, wantPinned: ours, wantErr: ErrRootChanged, says: "shop-west-ca"},
		"one for each member is refused":      {pinned: pinnedTo(), secrets: []client.Object{signedIn(t, "east", ours), signedIn(t, "west", theirs)}, wantPinned: ours, wantErr: ErrRootChanged, says: "shop-west-ca"},
		"another certificate of the same key": {pinned: pinnedTo(ours), secrets: []client.Object{signedIn(t, "east", ours), signedIn(t, "west", issue(t, "root", key, nil))}, wantPinned: ours, wantErr: ErrRootChanged, says: "same key"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(append(both, c.pinned)...)
			var objects []client.Object
			for _, o := range c.secrets {
				objects = append(objects, o.DeepCopyObject().(client.Object))
			}
			h := hubWith(t, objects...)
			waiting, err := h.Ensure(t.Context(), inst, now)
			if !errors.Is(err, c.wantErr) || err != nil && !strings.Contains(err.Error(), c.says) || (waiting != "") != c.wantWaits {
				t.Errorf("waits for %q, error %v, want %v with %q", waiting, err, c.wantErr, c.says)
			}
			var want []string
			if c.wantPinned != nil {
				want = []string{fingerprint(c.wantPinned.cert)}
			}
			if diff := cmp.Diff(want, inst.Status.Trust.PinnedRoot); diff != "" {
				t.Errorf("pinned root (-want +got):\n%s", diff)
			}
			if got := secretNames(t, h); len(got) != len(c.secrets) {
				t.Errorf("Secrets are %v: those of a user's issuer are left alone", got)
			}
		})
	}
}

func TestRootLifetime(t *testing.T) {
	first, last := issue(t, "first", ecdsaKey(t), nil, lasting(-time.Hour, time.Hour)), issue(t, "last", ecdsaKey(t), nil, lasting(-time.Hour, 2*time.Hour))
	both := signedIn(t, "east", first)
	both.Data[caKey] = text(first, last)
	fingerprints, err := Fingerprints(both.Data[caKey])
	if err != nil {
		t.Fatal(err)
	}
	pinnedBoth := func(inst *meshv1alpha1.MeshInstallation) { inst.Status.Trust.PinnedRoot = fingerprints }
	cases := map[string]struct {
		pinned func(*meshv1alpha1.MeshInstallation)
		secret *corev1.Secret
		want   time.Time
	}{
		"there is none yet":              {pinned: pinnedTo(last), secret: both},
		"a self-signed root":             {pinned: pinnedTo(last), secret: rootIn(t, last), want: last.cert.NotAfter},
		"another root says nothing":      {pinned: pinnedTo(last), secret: rootIn(t, first)},
		"the root of an intermediate":    {pinned: pinnedTo(last), secret: signedIn(t, "east", last), want: last.cert.NotAfter},
		"of several the first to go":     {pinned: pinnedBoth, secret: both, want: first.cert.NotAfter},
		"what is no certificate":         {pinned: pinnedTo(last), secret: rootIn(t, last, func(s *corev1.Secret) { s.Data[corev1.TLSCertKey] = []byte("text") })},
		"an intermediate without a root": {pinned: pinnedTo(last), secret: func() *corev1.Secret { s := signedIn(t, "east", last); delete(s.Data, caKey); return s }()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"), c.pinned)
			from, got, err := hubWith(t, c.secret.DeepCopy()).RootLifetime(t.Context(), inst)
			if !got.Equal(c.want) || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if !c.want.IsZero() && !from.Equal(now.Add(-time.Hour)) {
				t.Errorf("it begins %s", from)
			}
		})
	}
}

func TestShort(t *testing.T) {
	cases := map[string]struct {
		in   []string
		want string
	}{
		"none":             {nil, ""},
		"the first digits": {[]string{"0123456789abcdef0123", "f"}, "0123456789abcdef,f"},
		"bounded":          {[]string{"a", "b", "c", "d", "e"}, "a,b,c and 2 more"},
	}
	for name, c := range cases {
		if got := mesh.ShortRoot(c.in); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
