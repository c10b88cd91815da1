package envtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func jsonOf(t *testing.T, value any) *apiextensionsv1.JSON {
	t.Helper()
	raw, err := json.Marshal(value)
	must(t, err)
	return &apiextensionsv1.JSON{Raw: raw}
}

// deleteNamespace deletes the control plane's namespace of a member as the namespace controller does: what is in it goes first. Meanwhile is
// called while it is being deleted.
func (s *suite) deleteNamespace(t *testing.T, member string, meanwhile func()) {
	t.Helper()
	c := s.members[member]
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlPlaneNamespace}}
	must(t, c.admin.Delete(t.Context(), ns.DeepCopy()))
	meanwhile()
	await(t, "the namespace of "+member+" is empty", func(ctx context.Context) error {
		found, err := c.labelled(ctx, "")
		if err != nil {
			return err
		}
		left := 0
		for _, o := range found {
			if o.namespace != controlPlaneNamespace || o.kind == "Event" {
				continue
			}
			u, err := o.get(ctx, c)
			if apierrors.IsNotFound(err) {
				continue
			} else if err != nil {
				return err
			}
			left++
			if len(u.GetFinalizers()) > 0 {
				u.SetFinalizers(nil)
				if err := c.admin.Update(ctx, u); client.IgnoreNotFound(err) != nil {
					return err
				}
			}
			if err := c.admin.Delete(ctx, u, client.GracePeriodSeconds(0), client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
		if left > 0 {
			return fmt.Errorf("%d objects are left", left)
		}
		return nil
	})
	must(t, c.admin.Get(t.Context(), client.ObjectKeyFromObject(ns), ns))
	ns.Spec.Finalizers = nil
	must(t, c.admin.SubResource("finalize").Update(t.Context(), ns))
}

// namespaceDeleted deletes the control plane's namespace of a member that stays. With it go the permissions there, which somebody must give
// again; then all of it is made again, at the release that ran.
func (s *suite) namespaceDeleted(t *testing.T) {
	east := s.members["east"]
	s.deleteNamespace(t, "east", func() {
		await(t, "east waits for its namespace to be gone", func(ctx context.Context) error {
			m, err := s.member(ctx, "east")
			return errors.Join(err, has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonProgressing))
		})
	})
	await(t, "east says which permissions it lacks", func(ctx context.Context) error {
		m, err := s.member(ctx, "east")
		return errors.Join(err, has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionFalse, meshv1alpha1.ReasonPermissionDenied))
	})
	must(t, east.admitControlPlane(t.Context(), "member-rbac/controlplane/role_binding.yaml"))
	s.awaitReady(t, both...)
	inventories(t, east)
	for _, name := range both {
		remoteSecrets(t, s.members[name], s.peersOf(name, both))
	}
	if m, err := s.member(t.Context(), "east"); err != nil || len(m.Spec.Revisions) != 1 || m.Spec.Revisions[0].Name != revision {
		t.Errorf("east runs %v, %v, want %s", m.Spec.Revisions, err, revision)
	}
}

// leavesWithoutNamespace deletes the namespace of a member, and takes the member out while the operator does not run: nothing is left of the mesh
// that would call an istiod, and nothing of others is deleted.
func (s *suite) leavesWithoutNamespace(t *testing.T) {
	west := s.members["west"]
	ofOthers := map[string]map[string]string{
		"of-another-hub":  {"app.kubernetes.io/managed-by": "meshfleet", meshv1alpha1.LabelInstallation: ownerLabel, meshv1alpha1.LabelOrigin: "another-hub"},
		"of-another-mesh": {"app.kubernetes.io/managed-by": "meshfleet", meshv1alpha1.LabelInstallation: operatorNamespace + ".other", meshv1alpha1.LabelOrigin: "x"},
	}
	for name, labels := range ofOthers {
		o := object{"rbac.authorization.k8s.io/v1", "ClusterRole", "", name}.create(t, west, map[string]any{"rules": []any{}})
		o.SetLabels(labels)
		must(t, west.admin.Update(t.Context(), o))
	}
	s.awaitCalm(t)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyForce })
	s.awaitReady(t, both...)
	s.operator.stop(t)
	s.deleteNamespace(t, "west", func() {})
	s.withoutAdmission(t, func() { s.edit(t, withoutMember("west")) })
	s.operator = s.startOperator(t)
	s.awaitGone(t, "west")
	found, err := west.labelled(t.Context(), meshv1alpha1.LabelInstallation+"="+ownerLabel+","+meshv1alpha1.LabelOrigin+"!=another-hub")
	must(t, err)
	for _, o := range found {
		// Without the permissions there, an inventory that was begun again stays. It calls nobody.
		if o.namespace == "" {
			t.Errorf("left in the cluster: %s", o)
		}
	}
	for name := range ofOthers {
		if _, err := (object{"rbac.authorization.k8s.io/v1", "ClusterRole", "", name}).get(t.Context(), west); err != nil {
			t.Errorf("what is not the mesh's was deleted: %v", err)
		}
	}
	s.awaitReady(t, "east")
}
