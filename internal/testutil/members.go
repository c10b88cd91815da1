package testutil

import (
	"fmt"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Now is the time in tests of reconcilers.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// MemberOption changes a MeshMember of a test.
type MemberOption = func(*meshv1alpha1.MeshMember)

// Reached is a member whose cluster is known and that runs a revision with so many replicas.
func Reached(replicas int32) MemberOption {
	return func(m *meshv1alpha1.MeshMember) {
		m.Status.ClusterUID = "cluster-uid"
		m.Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: Revision, Version: Version, ReadyReplicas: replicas}}
	}
}

// HubScheme knows the kinds of the hub.
func HubScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{meshv1alpha1.AddToScheme, corev1.AddToScheme, cmv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// HubClient is a hub with objects.
func HubClient(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(HubScheme(t)).WithObjects(objects...).
		WithStatusSubresource(&meshv1alpha1.MeshUpgrade{}, &meshv1alpha1.MeshApproval{}).Build()
}

// Must ends a test with an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Conditions gives a member conditions, written as `<type>=<status> <reason>`.
func Conditions(lines ...string) MemberOption {
	return func(m *meshv1alpha1.MeshMember) {
		for _, l := range lines {
			var kind, is, reason string
			if _, err := fmt.Sscanf(strings.ReplaceAll(l, "=", " "), "%s %s %s", &kind, &is, &reason); err != nil {
				panic("a test's condition: " + err.Error())
			}
			meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{
				Type: kind, Status: metav1.ConditionStatus(is), Reason: reason, Message: "so it is", ObservedGeneration: m.Generation,
			})
		}
	}
}

// Ready is a member whose conditions are all True.
func Ready() MemberOption {
	return Conditions("TrustRootReady=True Ready", "ControlPlanesReady=True Ready", "GatewaysReady=True Ready", "DiscoveryReady=True Ready",
		"Available=True Ready", "Reachable=True Connected", "Ready=True Ready")
}

// Stale is a member whose status is of an older generation.
func Stale() MemberOption {
	return func(m *meshv1alpha1.MeshMember) { m.Generation++ }
}

// Ordered gives a member an order of an upgrade.
func Ordered() MemberOption {
	return func(m *meshv1alpha1.MeshMember) {
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "shop-1", Stage: meshv1alpha1.StageInstall}
	}
}

// Reported gives a member a report of a stage.
func Reported() MemberOption {
	return func(m *meshv1alpha1.MeshMember) {
		m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: "shop-1", Stage: meshv1alpha1.StageRetire, State: meshv1alpha1.StageDone}
	}
}

// Deleting is a MeshMember that is being deleted.
func Deleting() MemberOption {
	return func(m *meshv1alpha1.MeshMember) { m.DeletionTimestamp = &metav1.Time{Time: Now} }
}

// Departing is a member that leaves.
func Departing(removal meshv1alpha1.MemberRemoval) MemberOption {
	return func(m *meshv1alpha1.MeshMember) { m.Spec.Removal = removal }
}

// Root gives a member the fingerprints of the roots that it reports.
func Root(fingerprints ...string) MemberOption {
	return func(m *meshv1alpha1.MeshMember) { m.Status.Trust.RootFingerprints = fingerprints }
}

// Members are the members in a list.
func Members(members ...*meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	var out []meshv1alpha1.MeshMember
	for _, m := range members {
		out = append(out, *m)
	}
	return out
}

// YAML is a value as text.
func YAML(t *testing.T, v any) string {
	t.Helper()
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
