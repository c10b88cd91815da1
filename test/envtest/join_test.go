package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var three = []string{"east", "north", "west"}

// obstacle is something in a cluster that keeps it from joining.
type obstacle struct {
	object
	content    map[string]any
	wantReason string
	// wantWord is in the message.
	wantWord string
}

// obstacles are in the order in which the operator meets them.
func obstacles(t *testing.T) []obstacle {
	t.Helper()
	foreignRoot := foreignCacerts(t)
	labels := map[string]any{"app": "istiod"}
	container := map[string]any{"name": "discovery", "image": "example.com/pilot:1"}
	return []obstacle{
		{
			object{"v1", "ConfigMap", controlPlaneNamespace, "meshfleet-member"},
			map[string]any{"data": map[string]any{"hub": "another", "installation": "a/b", "member": "north"}},
			meshv1alpha1.ReasonClusterClaimed, "another",
		},
		{
			object{"apps/v1", "Deployment", "legacy", "istiod"},
			map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec": map[string]any{
					"selector": map[string]any{"matchLabels": labels},
					"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{container}}},
				},
			},
			meshv1alpha1.ReasonForeignControlPlane, "legacy/istiod",
		},
		{
			object{"v1", "Secret", controlPlaneNamespace, "cacerts"},
			map[string]any{"stringData": foreignRoot},
			meshv1alpha1.ReasonForeignRoot, "cacerts",
		},
		{
			object{"v1", "ConfigMap", controlPlaneNamespace, "istio-" + revision},
			map[string]any{"data": map[string]any{"mesh": "somebody's"}},
			meshv1alpha1.ReasonObjectConflict, "istio-" + revision,
		},
		{
			object{"v1", "Service", controlPlaneNamespace, gatewayName},
			map[string]any{"spec": map[string]any{"ports": []any{map[string]any{"port": int64(80)}}}},
			meshv1alpha1.ReasonObjectConflict, gatewayName,
		},
	}
}

// foreignCacerts is the root of another mesh, signed by nobody that we know.
func foreignCacerts(t *testing.T) map[string]any {
	t.Helper()
	certificate := &cmv1.Certificate{}
	certificate.Spec.CommonName, certificate.Spec.IsCA = "another root", true
	certificate.Spec.Duration = &metav1.Duration{Duration: time.Hour}
	secret, err := sign(certificate, nil)
	must(t, err)
	root := string(secret.Data[corev1.TLSCertKey])
	return map[string]any{
		"ca-cert.pem": root, "ca-key.pem": string(secret.Data[corev1.TLSPrivateKeyKey]), "cert-chain.pem": root, rootKey: root,
	}
}

// join adds a cluster that has a past. One after the other the operator names what is in the way and leaves it alone;
// a person clears it away; in the end the cluster is a member.
func (s *suite) join(t *testing.T) {
	north := s.members["north"]
	object{"v1", "Namespace", "", "legacy"}.create(t, north, nil)
	inTheWay, foreign := obstacles(t), s.foreignCRDs(t)
	for _, o := range inTheWay {
		o.create(t, north, o.content)
	}
	s.writeKubeconfig(t, "north", north.kubeconfig(t))
	start := time.Now()
	s.edit(t, withMember("north"))
	for i, o := range inTheWay {
		t.Run(o.wantReason+" by "+o.object.String(), func(t *testing.T) {
			before, err := o.get(t.Context(), north)
			must(t, err)
			await(t, "north says "+o.wantReason, func(ctx context.Context) error {
				m, err := s.member(ctx, "north")
				if err != nil {
					return err
				}
				if err := stalled(m.Status.Conditions, o.wantReason); err != nil {
					return err
				}
				if text := describe(m.Status.Conditions); !strings.Contains(text, o.wantWord) {
					return fmt.Errorf("the message does not name %q: %s", o.wantWord, text)
				}
				return nil
			})
			s.othersServe(t)
			if o.wantReason == meshv1alpha1.ReasonForeignRoot {
				s.othersRead(t, "north")
			}
			after, err := o.get(t.Context(), north)
			must(t, err)
			if diff := cmp.Diff(withoutStatus(before), withoutStatus(after)); diff != "" {
				t.Errorf("%s has changed (-before +after):\n%s", o.object, diff)
			}
			if i < 2 {
				for _, one := range north.writes(t, start) {
					t.Errorf("written into a cluster that is not ours: %s", one)
				}
			}
			must(t, north.admin.Delete(t.Context(), after))
			// Nothing tells the operator of it but a look; the Secret makes it look now.
			s.writeKubeconfig(t, "north", north.kubeconfig(t))
		})
	}
	// An installation that is cut off in the middle goes on where it was.
	s.operator.stop(t)
	s.operator = s.startOperator(t)
	s.awaitReady(t, three...)
	for _, name := range three {
		remoteSecrets(t, s.members[name], s.peersOf(name, three))
	}
	inventories(t, north)
	for name, wantVersion := range foreign {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		must(t, north.admin.Get(t.Context(), client.ObjectKey{Name: name}, crd))
		if got := crd.Labels[versionLabel]; got != wantVersion {
			t.Errorf("CRD %s is of release %q, want %q", name, got, wantVersion)
		}
	}
}

const versionLabel = "app.kubernetes.io/version"

// foreignCRDs makes CRDs of Istio that somebody else has installed in north. It returns the release that each must have
// when north has joined: an older one is upgraded, a newer one and one of the Operator Lifecycle Manager stay.
func (s *suite) foreignCRDs(t *testing.T) map[string]string {
	t.Helper()
	want := map[string]string{}
	for name, c := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"proxyconfigs.networking.istio.io": {map[string]string{versionLabel: "1.20.0"}, version},
		"telemetries.telemetry.istio.io":   {map[string]string{versionLabel: "9.9.9"}, "9.9.9"},
		"wasmplugins.extensions.istio.io":  {map[string]string{versionLabel: "1.20.0", "olm.managed": "true"}, "1.20.0"},
	} {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		must(t, s.members["east"].admin.Get(t.Context(), client.ObjectKey{Name: name}, crd))
		crd = &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: c.labels}, Spec: crd.Spec}
		must(t, s.members["north"].admin.Create(t.Context(), crd))
		want[name] = c.want
	}
	return want
}

// othersServe: whatever is wrong with the newcomer, nothing that works elsewhere is said not to.
func (s *suite) othersServe(t *testing.T) {
	t.Helper()
	for _, name := range both {
		m, err := s.member(t.Context(), name)
		must(t, err)
		for _, kind := range []string{
			meshv1alpha1.ConditionReachable, meshv1alpha1.ConditionTrustRootReady, meshv1alpha1.ConditionControlPlanesReady,
			meshv1alpha1.ConditionGatewaysReady, meshv1alpha1.ConditionDiscoveryReady, meshv1alpha1.ConditionReady,
			meshv1alpha1.ConditionAvailable,
		} {
			if !meta.IsStatusConditionTrue(m.Status.Conditions, kind) {
				t.Errorf("%s: want %s=True, have: %s", name, kind, describe(m.Status.Conditions))
			}
		}
		if meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionStalled) != nil {
			t.Errorf("%s is stalled, too: %s", name, describe(m.Status.Conditions))
		}
	}
	inst, err := s.installation(t.Context())
	must(t, err)
	if !meta.IsStatusConditionTrue(inst.Status.Conditions, meshv1alpha1.ConditionAvailable) {
		t.Errorf("the mesh is not available: %s", describe(inst.Status.Conditions))
	}
}

// othersRead: a newcomer that cannot start an istiod can be read by its peers all the same.
func (s *suite) othersRead(t *testing.T, newcomer string) {
	t.Helper()
	for _, name := range both {
		await(t, name+" reads "+newcomer, func(ctx context.Context) error {
			m, err := s.member(ctx, name)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(m.Status.Discovery.Peers, func(p meshv1alpha1.PeerStatus) bool { return p.Name == newcomer && p.State == meshv1alpha1.PeerSynced }) {
				return fmt.Errorf("its peers are %v", m.Status.Discovery.Peers)
			}
			return nil
		})
	}
}

// withoutStatus leaves out what is played.
func withoutStatus(u *unstructured.Unstructured) map[string]any {
	c := u.DeepCopy()
	delete(c.Object, "status")
	c.SetManagedFields(nil)
	c.SetResourceVersion("")
	return c.Object
}

// twin adds east under another name and address: only the cluster's identity tells.
func (s *suite) twin(t *testing.T) {
	east := s.members["east"]
	_, port, _ := strings.Cut(east.server(), "127.0.0.1")
	s.writeKubeconfig(t, "twin", east.kubeconfig(t, at("https://localhost"+port)))
	s.awaitCalm(t)
	start := time.Now()
	s.edit(t, withMember("twin"))
	await(t, "the twin says that the cluster is taken", func(ctx context.Context) error {
		m, err := s.member(ctx, "twin")
		if err != nil {
			return err
		}
		if len(m.Finalizers) == 0 {
			return errors.New("no finalizer")
		}
		return stalled(m.Status.Conditions, meshv1alpha1.ReasonClusterClaimed)
	})
	s.edit(t, withoutMember("twin"))
	s.awaitGone(t, "twin")
	s.awaitReady(t, both...)
	for _, one := range east.writes(t, start) {
		t.Errorf("east: %s", one)
	}
}
