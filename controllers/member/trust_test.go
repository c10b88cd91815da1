package member

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// mint makes a certificate and its key, PEM, signed by another one or by itself.
func mint(t *testing.T, by *x509.Certificate, with *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: testutil.Now, NotAfter: testutil.Now.Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if by == nil {
		by, with = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func fingerprintsOf(t *testing.T, text []byte) []string {
	t.Helper()
	out, err := trust.Fingerprints(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// intermediateSecret is what cert-manager keeps on the hub for east.
func intermediateSecret(t *testing.T, root *x509.Certificate, key *ecdsa.PrivateKey) *corev1.Secret {
	t.Helper()
	c, own := mint(t, root, key)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-east-ca", Namespace: testutil.Namespace},
		Data:       map[string][]byte{corev1.TLSCertKey: pemOf(c), corev1.TLSPrivateKeyKey: keyPEM(t, own), "ca.crt": pemOf(root)},
	}
}

// inMember is the Secret `cacerts` in a member; ours has the installation's label.
func inMember(data map[string][]byte, owner string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: inControlPlane(cacertsName), Data: data}
	s.Labels = map[string]string{meshv1alpha1.LabelInstallation: owner}
	return s
}

const ourOwner = "meshfleet-system.shop"

// TestCacerts covers what ends without a write. The member has a certificate of the mesh's root, or gets none.
func TestCacerts(t *testing.T) {
	root, key := mint(t, nil, nil)
	other, otherKey := mint(t, nil, nil)
	pinned := fingerprintsOf(t, pemOf(root))
	present := inMember(map[string][]byte{"root-cert.pem": pemOf(root)}, ourOwner)
	foreign := inMember(map[string][]byte{"root-cert.pem": pemOf(other)}, "")
	lost := testutil.Installation()
	lost.Status.Conditions = []metav1.Condition{{
		Type: meshv1alpha1.ConditionTrustRootReady, Status: metav1.ConditionFalse, Reason: meshv1alpha1.ReasonRootMissing, Message: "restore it",
	}}
	of := func(o ...client.Object) []client.Object { return o }
	cases := map[string]struct {
		pinned          []string
		served          []string
		hub, remote     []client.Object
		wantKind        phase.Kind
		wantReason      string
		wantCertificate bool
		wantText        string
	}{
		"no root is known yet":                             {wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonWaitingForCertificate},
		"a member of a former release keeps its own":       {remote: of(present), wantKind: phase.Done, wantReason: meshv1alpha1.ReasonReady, wantCertificate: true},
		"what others made is not kept":                     {remote: of(foreign), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonWaitingForCertificate},
		"a new member waits for what the hub has lost":     {pinned: pinned, hub: of(lost), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantText: "restore it"},
		"one that has a certificate goes on meanwhile":     {pinned: pinned, hub: of(lost), remote: of(present), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantCertificate: true},
		"another root is not given to a new member":        {pinned: pinned, hub: of(intermediateSecret(t, other, otherKey)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonRootChanged, wantText: "shop-east-ca"},
		"nor to one that has a certificate":                {pinned: pinned, hub: of(intermediateSecret(t, other, otherKey)), remote: of(present), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonRootChanged, wantCertificate: true},
		"a root of others is not replaced":                 {pinned: pinned, hub: of(intermediateSecret(t, root, key)), remote: of(foreign), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "if nothing in the cluster uses it"},
		"a root that serves is not to be deleted":          {pinned: pinned, served: fingerprintsOf(t, pemOf(other)), remote: of(foreign), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "do not delete"},
		"nor is it replaced when its Secret is gone":       {pinned: pinned, served: fingerprintsOf(t, pemOf(other)), hub: of(intermediateSecret(t, root, key)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "is gone"},
		"a root that cannot be read is a foreign one":      {pinned: pinned, remote: of(inMember(map[string][]byte{"root-cert.pem": []byte("text")}, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot},
		"so is an empty Secret":                            {pinned: pinned, remote: of(inMember(nil, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot},
		"the root beside another is another":               {pinned: pinned, remote: of(inMember(map[string][]byte{"ca.crt": append(pemOf(root), pemOf(other)...)}, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot},
		"the mesh's root in the other layout is the right": {pinned: pinned, hub: of(lost), remote: of(inMember(map[string][]byte{"ca.crt": pemOf(root)}, "")), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantCertificate: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var hub, remote []client.Object
			for _, o := range c.hub {
				hub = append(hub, o.DeepCopyObject().(client.Object))
			}
			for _, o := range c.remote {
				remote = append(remote, o.DeepCopyObject().(client.Object))
			}
			r, s := &Reconciler{Client: testutil.HubClient(t, hub...)}, pass(remote...)
			s.member.Spec.PinnedRoot, s.member.Status.Trust.RootFingerprints = c.pinned, c.served
			got := r.cacerts(t.Context(), s)
			if got.Kind != c.wantKind || got.Reason != c.wantReason || !strings.Contains(got.Text(), c.wantText) {
				t.Errorf("result is %s %s: %s; want %s %s with %q", got.Kind, got.Reason, got.Text(), c.wantKind, c.wantReason, c.wantText)
			}
			if s.hasCertificate != c.wantCertificate {
				t.Errorf("it has a certificate: %v, want %v", s.hasCertificate, c.wantCertificate)
			}
		})
	}
}

// TestHoldsRoot says what a claim records of the root, and which members are refused.
func TestHoldsRoot(t *testing.T) {
	root, _ := mint(t, nil, nil)
	rootPEM := pemOf(root)
	ours := mesh.JoinRoot(fingerprintsOf(t, rootPEM))
	cacerts := func(owner string) *corev1.Secret { return inMember(map[string][]byte{"root-cert.pem": rootPEM}, owner) }
	cases := map[string]struct {
		mine        bool
		claimed     string
		pinned      string
		cacerts     *corev1.Secret
		want        string
		wantClaimed string
		wantErr     error
	}{
		"a new member without a root":                     {wantClaimed: mesh.NoRoot},
		"a new member is given the pinned root":           {pinned: ours, want: ours, wantClaimed: mesh.NoRoot},
		"what it records is found again":                  {mine: true, claimed: ours, want: ours, wantClaimed: ours},
		"what it records is pinned":                       {mine: true, claimed: ours, pinned: ours, want: ours, wantClaimed: ours},
		"another root is refused":                         {mine: true, claimed: "b", pinned: ours, wantClaimed: "b", wantErr: errForeignRoot},
		"a claim of a former release is completed":        {mine: true, cacerts: cacerts(ourOwner), pinned: ours, want: ours, wantClaimed: ours},
		"by what we made, without a pinned root":          {mine: true, cacerts: cacerts(ourOwner), want: ours, wantClaimed: ours},
		"and not by what others made":                     {mine: true, cacerts: cacerts(""), wantClaimed: mesh.NoRoot},
		"a former release's member of another root":       {mine: true, cacerts: cacerts(ourOwner), pinned: "b", wantClaimed: ours, wantErr: errForeignRoot},
		"what a cluster has before it joins says nothing": {cacerts: cacerts(""), pinned: "b", want: "b", wantClaimed: mesh.NoRoot},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var remote []client.Object
			if c.cacerts != nil {
				remote = append(remote, c.cacerts.DeepCopy())
			}
			s := pass(remote...)
			s.claimed = map[string]string{claimedRootKey: c.claimed}
			if c.pinned != "" {
				s.member.Spec.PinnedRoot = []string{c.pinned}
			}
			got, err := (&Reconciler{}).holdsRoot(t.Context(), s, c.mine)
			if got != c.want || !errors.Is(err, c.wantErr) {
				t.Errorf("it records %q, %v, want %q, %v", got, err, c.want, c.wantErr)
			}
			if diff := cmp.Diff(c.wantClaimed, s.member.Status.Trust.ClaimedRoot); diff != "" {
				t.Errorf("claimed root (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAClaimOfAnotherHubIsNoAnswer keeps a new hub from a root of its own before members were told of it.
func TestAClaimOfAnotherHubIsNoAnswer(t *testing.T) {
	for installation, want := range map[string]string{"meshfleet-system/shop": "", "meshfleet-system/other": mesh.NoRoot} {
		s := pass(&corev1.ConfigMap{ObjectMeta: inControlPlane(claimName), Data: map[string]string{
			"hub": "former", "installation": installation, "member": "east", claimedRootKey: "a",
		}})
		r := &Reconciler{Client: testutil.HubClient(t), HubUID: hubUID}
		if got := r.claim(t.Context(), s); got.Reason != meshv1alpha1.ReasonClusterClaimed {
			t.Errorf("%s: result is %+v, want ClusterClaimed", installation, got)
		}
		if got := s.member.Status.Trust.ClaimedRoot; got != want {
			t.Errorf("%s: claimed root is %q, want %q", installation, got, want)
		}
	}
}

// TestTroubleWithTheRootIsNotHiddenByLaterPhases wants trouble with the root to be told and not to stop anything else.
func TestTroubleWithTheRootIsNotHiddenByLaterPhases(t *testing.T) {
	steps := []step{
		{name: "connect", condition: meshv1alpha1.ConditionReachable, gate: true},
		{name: "trust", condition: meshv1alpha1.ConditionTrustRootReady, gate: true},
		{name: "serve", condition: meshv1alpha1.ConditionControlPlanesReady, gate: true},
		{name: "rootInForce", condition: meshv1alpha1.ConditionTrustRootReady, gate: true},
	}
	ok := phase.Complete(meshv1alpha1.ReasonReady, "ok")
	changed := phase.Stall(meshv1alpha1.ReasonRootChanged, errors.New("another root"))
	for _, o := range conclude(&scope{member: testutil.Member("east", testutil.Reached(1)), now: testutil.Now}, steps, []phase.Result{ok, changed, ok, ok}) {
		want := meshv1alpha1.ReasonReady
		if o.Type == meshv1alpha1.ConditionTrustRootReady {
			want = meshv1alpha1.ReasonRootChanged
		}
		if o.Result.Reason != want {
			t.Errorf("%s: %s, want %s", o.Type, o.Result.Reason, want)
		}
	}
}
