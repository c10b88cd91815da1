//go:build bench

package members

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// player plays cert-manager and every member.
type player struct {
	client client.Client
	// areAllThere lets members report that they have synced their peers.
	areAllThere atomic.Bool
	ca          atomic.Pointer[tls.Certificate]
}

// play runs until ctx ends.
func play(ctx context.Context, config *rest.Config) (*player, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}, DefaultTransform: cache.TransformStripManagedFields()},
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, err
	}
	p := &player{client: mgr.GetClient()}
	options := controller.Options{MaxConcurrentReconciles: 4, SkipNameValidation: new(true)}
	for name, watched := range map[string]struct {
		object client.Object
		play   func(context.Context, client.ObjectKey) error
	}{
		"members": {&meshv1alpha1.MeshMember{}, p.member}, "issuers": {&cmv1.Issuer{}, p.issuer}, "certificates": {&cmv1.Certificate{}, p.certificate},
	} {
		if err := ctrl.NewControllerManagedBy(mgr).Named(name).For(watched.object).WithOptions(options).Complete(act(watched.play)); err != nil {
			return nil, err
		}
	}
	go func() { _ = mgr.Start(ctx) }() // the test fails for lack of what is played
	return p, nil
}

// act is a reconciler that comes back after a conflict, and as long as a member waits.
type act func(context.Context, client.ObjectKey) error

func (a act) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	err := a(ctx, req.NamespacedName)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return ctrl.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return ctrl.Result{}, err
}

// member reports what a member that is well would report of its work order: at first without peers.
func (p *player) member(ctx context.Context, key client.ObjectKey) error {
	m := &meshv1alpha1.MeshMember{}
	if err := p.client.Get(ctx, key, m); err != nil {
		return client.IgnoreNotFound(err)
	}
	wantPeers := 0
	if p.areAllThere.Load() {
		wantPeers = len(m.Spec.Peers)
	}
	isTold := m.Status.ObservedGeneration == m.Generation && len(m.Status.Discovery.Peers) == wantPeers &&
		meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReady) && (m.Spec.Removal == "") == (m.Status.Removal == nil)
	if isTold || m.Spec.Removal == meshv1alpha1.RemovalNow {
		return nil
	}
	m.Status = playedStatus(m, wantPeers)
	return p.client.Status().Update(ctx, m)
}

func playedStatus(m *meshv1alpha1.MeshMember, peers int) meshv1alpha1.MeshMemberStatus {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	st := meshv1alpha1.MeshMemberStatus{
		ObservedGeneration: m.Generation, ClusterUID: "uid-of-" + m.Spec.Cluster, KubernetesVersion: "v1.36.3",
		Revisions: []meshv1alpha1.RevisionStatus{{Name: m.Spec.Revisions[0].Name, Version: m.Spec.Revisions[0].Version, ReadyReplicas: 2}},
		Gateway: meshv1alpha1.GatewayStatus{
			Name: "istio-eastwestgateway", Revision: m.Spec.GatewayRevision, Addresses: []string{addressOf(m.Spec.Cluster)}, Announced: &metav1.Time{Time: m.CreationTimestamp.Time},
		},
		Trust: meshv1alpha1.MemberTrustStatus{ClaimedRoot: &meshv1alpha1.ClaimedRoot{}},
	}
	if len(m.Spec.PinnedRoot) > 0 {
		st.Trust = meshv1alpha1.MemberTrustStatus{ClaimedRoot: &meshv1alpha1.ClaimedRoot{Fingerprints: m.Spec.PinnedRoot}, RootFingerprints: m.Spec.PinnedRoot}
	}
	for _, kind := range []string{
		meshv1alpha1.ConditionReachable, meshv1alpha1.ConditionTrustRootReady, meshv1alpha1.ConditionControlPlanesReady, meshv1alpha1.ConditionGatewaysReady,
		meshv1alpha1.ConditionDiscoveryReady, meshv1alpha1.ConditionReady, meshv1alpha1.ConditionAvailable, meshv1alpha1.ConditionWatchesSynced,
	} {
		st.Conditions = append(st.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: meshv1alpha1.ReasonReady, Message: "everything that the work order asks for is in place",
			ObservedGeneration: m.Generation, LastTransitionTime: now,
		})
	}
	for _, peer := range m.Spec.Peers[:peers] {
		gateway := meshv1alpha1.NetworkGateway{Network: peer.Name, Address: addressOf(peer.Name)}
		st.Discovery.Peers = append(st.Discovery.Peers, meshv1alpha1.PeerStatus{Name: peer.Name, State: meshv1alpha1.PeerSynced, Marker: "240.0.0.1"})
		st.Discovery.IstiodGateways = append(st.Discovery.IstiodGateways, gateway)
		st.Discovery.ProxyGateways = append(st.Discovery.ProxyGateways, gateway)
	}
	st.Discovery.SyncedPeers = int32(peers)
	if m.Spec.Removal != "" {
		st.Removal = &meshv1alpha1.MemberRemovalStatus{}
	}
	return st
}

// addressOf is the address of a member's gateway.
func addressOf(cluster string) string {
	var n int
	_, _ = fmt.Sscanf(cluster, "member-%d", &n) // another name has the address of none
	return fmt.Sprintf("198.18.%d.%d", n/250, n%250+1)
}

// syncPeers lets all members report that they have synced their peers.
func (p *player) syncPeers(ctx context.Context) error {
	p.areAllThere.Store(true)
	list := &meshv1alpha1.MeshMemberList{}
	if err := p.client.List(ctx, list); err != nil {
		return err
	}
	for i := range list.Items {
		for {
			err := p.member(ctx, client.ObjectKeyFromObject(&list.Items[i]))
			if err == nil {
				break
			}
			if !apierrors.IsConflict(err) {
				return err
			}
		}
	}
	return nil
}

func (p *player) issuer(ctx context.Context, key client.ObjectKey) error {
	issuer := &cmv1.Issuer{}
	if err := p.client.Get(ctx, key, issuer); err != nil || len(issuer.Status.Conditions) > 0 {
		return client.IgnoreNotFound(err)
	}
	issuer.Status.Conditions = []cmv1.IssuerCondition{{Type: cmv1.IssuerConditionReady, Status: cmmeta.ConditionTrue}}
	return p.client.Status().Update(ctx, issuer)
}

func (p *player) certificate(ctx context.Context, key client.ObjectKey) error {
	c := &cmv1.Certificate{}
	if err := p.client.Get(ctx, key, c); err != nil || len(c.Status.Conditions) > 0 || !c.DeletionTimestamp.IsZero() {
		return client.IgnoreNotFound(err)
	}
	secret, err := p.sign(c)
	if err != nil {
		return err
	}
	if err := p.client.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	c.Status.Conditions = []cmv1.CertificateCondition{{Type: cmv1.CertificateConditionReady, Status: cmmeta.ConditionTrue}}
	return p.client.Status().Update(ctx, c)
}

// sign makes the Secret of a Certificate. The first one is the root, which signs itself and all others.
func (p *player) sign(c *cmv1.Certificate) (*corev1.Secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	want := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: c.Spec.CommonName},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(c.Spec.Duration.Duration), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	parent, signer := want, crypto.PrivateKey(key)
	ca := p.ca.Load()
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, want, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	root := der
	if ca != nil {
		root = ca.Certificate[0]
	} else {
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		p.ca.Store(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf})
	}
	pemOf := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Spec.SecretName}, Type: corev1.SecretTypeTLS, Data: map[string][]byte{
		corev1.TLSCertKey: pemOf("CERTIFICATE", der), corev1.TLSPrivateKeyKey: pemOf("PRIVATE KEY", private), "ca.crt": pemOf("CERTIFICATE", root),
	}}
	if template := c.Spec.SecretTemplate; template != nil {
		secret.Labels, secret.Annotations = template.Labels, template.Annotations
	}
	return secret, nil
}
