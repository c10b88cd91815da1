package envtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	meshName              = "shop"
	controlPlaneNamespace = "istio-system"
	// version is not the newest, so that a newer one can be asked for.
	version, revision = "1.28.3", "1-28-3"
	newer             = "1.29.1"
	gatewayName       = "istio-eastwestgateway-1-28-3"
	networkLabel      = "topology.istio.io/network"
)

type meshOption func(*meshv1alpha1.MeshInstallation)

// shop is a MeshInstallation without members.
func shop(name string, options ...meshOption) *meshv1alpha1.MeshInstallation {
	inst := &meshv1alpha1.MeshInstallation{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}}
	inst.Spec.Version = version
	inst.Spec.DataPlane.Tags = testutil.Tags("prod")
	for _, option := range options {
		option(inst)
	}
	return inst
}

// withMember adds a member whose kubeconfig is in the Secret of the same name.
func withMember(name string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Members = append(inst.Spec.Members, meshv1alpha1.Member{
			Name: name, Network: networkOf(name),
			ClusterRef: meshv1alpha1.ClusterRef{KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: kubeconfigSecret(name), Key: "value"}},
		})
	}
}

func withoutMember(name string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Members = slices.DeleteFunc(inst.Spec.Members, func(m meshv1alpha1.Member) bool { return m.Name == name })
	}
}

func networkOf(member string) string        { return "net-" + member }
func kubeconfigSecret(member string) string { return member + "-kubeconfig" }

// clusters are all clusters, in a fixed order.
func (s *suite) clusters() []*cluster {
	out := []*cluster{s.hub}
	for _, name := range slices.Sorted(maps.Keys(s.members)) {
		out = append(out, s.members[name])
	}
	return out
}

func (s *suite) installation(ctx context.Context) (*meshv1alpha1.MeshInstallation, error) {
	inst := &meshv1alpha1.MeshInstallation{}
	return inst, s.hub.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: meshName}, inst)
}

func (s *suite) member(ctx context.Context, name string) (*meshv1alpha1.MeshMember, error) {
	m := &meshv1alpha1.MeshMember{}
	return m, s.hub.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: meshName + "-" + name}, m)
}

// edit changes the mesh as a user does.
func (s *suite) edit(t *testing.T, options ...meshOption) {
	t.Helper()
	inst, err := s.installation(t.Context())
	must(t, err)
	before := inst.DeepCopy()
	for _, option := range options {
		option(inst)
	}
	must(t, s.hub.admin.Patch(t.Context(), inst, client.MergeFrom(before)))
}

// writeKubeconfig writes the Secret of a member. The annotation makes it a change even when the kubeconfig is none.
func (s *suite) writeKubeconfig(t *testing.T, member string, kubeconfig []byte) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: kubeconfigSecret(member)}}
	_, err := controllerutil.CreateOrUpdate(t.Context(), s.hub.admin, secret, func() error {
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, "written-after", secret.ResourceVersion)
		secret.Data = map[string][]byte{"value": kubeconfig}
		return nil
	})
	must(t, err)
}

// awaitReady waits until the mesh and these members, and no others, are ready.
func (s *suite) awaitReady(t *testing.T, members ...string) {
	t.Helper()
	await(t, fmt.Sprintf("the mesh of %v is ready", members), func(ctx context.Context) error {
		for _, name := range members {
			m, err := s.member(ctx, name)
			if err != nil {
				return err
			}
			if err := ready(name, m.Generation, m.Status.ObservedGeneration, m.Status.Conditions); err != nil {
				return err
			}
		}
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		if want := (meshv1alpha1.MemberCounts{Total: int32(len(members)), Ready: int32(len(members))}); !equality.Semantic.DeepEqual(inst.Status.Members, want) {
			return fmt.Errorf("mesh: members %+v, want %+v", inst.Status.Members, want)
		}
		return ready("mesh", inst.Generation, inst.Status.ObservedGeneration, inst.Status.Conditions)
	})
}

// ready says what keeps an object from being ready: every condition is True, for this generation, and those that exist
// only in trouble do not exist. Conditions that Ready does not depend on do not count.
func ready(name string, generation, observed int64, conditions []metav1.Condition) error {
	if observed != generation {
		return fmt.Errorf("%s: generation %d is not observed, %d is", name, generation, observed)
	}
	if !meta.IsStatusConditionTrue(conditions, meshv1alpha1.ConditionReady) {
		return fmt.Errorf("%s: not ready: %s", name, describe(conditions))
	}
	aside := []string{
		meshv1alpha1.ConditionTagsCurrent, meshv1alpha1.ConditionHubSecretsProtected, meshv1alpha1.ConditionCredentialCurrent,
		meshv1alpha1.ConditionTrustRootCurrent, meshv1alpha1.ConditionSoleWriter, meshv1alpha1.ConditionSidecarsRedirected,
		meshv1alpha1.ConditionReleaseSupported, meshv1alpha1.ConditionHoldsCurrent,
	}
	for _, c := range conditions {
		if slices.Contains(aside, c.Type) {
			continue
		}
		if c.Type == meshv1alpha1.ConditionReconciling || c.Type == meshv1alpha1.ConditionStalled ||
			c.Status != metav1.ConditionTrue || c.ObservedGeneration != generation {
			return fmt.Errorf("%s: ready, but: %s", name, describe([]metav1.Condition{c}))
		}
	}
	return nil
}

// has says what differs from a condition of that status and reason.
func has(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil || c.Status != status || c.Reason != reason {
		return fmt.Errorf("want %s=%s (%s), have: %s", kind, status, reason, describe(conditions))
	}
	return nil
}

// stalled says what differs from a Ready that waits for a person, for that reason.
func stalled(conditions []metav1.Condition, reason string) error {
	for _, kind := range []string{meshv1alpha1.ConditionReady, meshv1alpha1.ConditionStalled} {
		status := metav1.ConditionTrue
		if kind == meshv1alpha1.ConditionReady {
			status = metav1.ConditionFalse
		}
		if err := has(conditions, kind, status, reason); err != nil {
			return err
		}
	}
	if meta.FindStatusCondition(conditions, meshv1alpha1.ConditionReconciling) != nil {
		return fmt.Errorf("stalled and reconciling at once: %s", describe(conditions))
	}
	return nil
}

func describe(conditions []metav1.Condition) string {
	out := ""
	for _, c := range conditions {
		out += fmt.Sprintf("\n  %s=%s %s: %s (generation %d)", c.Type, c.Status, c.Reason, c.Message, c.ObservedGeneration)
	}
	return out
}
