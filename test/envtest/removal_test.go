package envtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// ofUsers are a user's objects in a member; none may be lost.
var ofUsers = []struct {
	object
	content map[string]any
}{
	{object{"v1", "Namespace", "", "shop"}, nil},
	{object{"v1", "ConfigMap", controlPlaneNamespace, "of-a-user"}, map[string]any{"data": map[string]any{"a": "b"}}},
	{
		object{"security.istio.io/v1", "PeerAuthentication", controlPlaneNamespace, "default"},
		map[string]any{"spec": map[string]any{"mtls": map[string]any{"mode": "STRICT"}}},
	},
	{
		object{"networking.istio.io/v1", "Gateway", "shop", "of-a-user"},
		map[string]any{"spec": map[string]any{"servers": []any{map[string]any{
			"port": map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}, "hosts": []any{"shop.example"},
		}}}},
	},
}

func users(t *testing.T, c *cluster) {
	t.Helper()
	for _, o := range ofUsers {
		o.create(t, c, o.content)
	}
}

// leave takes the third member out of the mesh.
func (s *suite) leave(t *testing.T) {
	north := s.members["north"]
	users(t, north)
	web := s.inUse(t, "north")
	start := time.Now()
	s.edit(t, withoutMember("north"))
	t.Run("it waits while a proxy runs there", func(t *testing.T) { s.waitsForWorkloads(t, "north") })
	must(t, north.admin.Delete(t.Context(), web, client.GracePeriodSeconds(0)))
	await(t, "the gateway of north is withdrawn", func(context.Context) error {
		if label := s.networkLabel(t, "north"); label != "" {
			return fmt.Errorf("the network label is still %q", label)
		}
		return nil
	})
	// A new instance goes on with the drain and does not start it again.
	s.operator.stop(t)
	s.operator = s.startOperator(t)
	s.awaitGone(t, "north")
	s.awaitReady(t, both...)
	t.Run("nothing of ours is left", func(t *testing.T) { clean(t, north) })
	t.Run("its peers forgot it before its gateway went", func(t *testing.T) { s.orderOfLeaving(t, start) })
	t.Run("its MeshMember is deleted once", func(t *testing.T) {
		var deletions []call
		for _, one := range s.hub.calls(t, start) {
			if one.Verb == "delete" && one.isAbout("meshmembers", meshName+"-north") {
				deletions = append(deletions, one)
			}
		}
		if len(deletions) != 1 {
			t.Errorf("deletions: %v", deletions)
		}
	})
	for _, name := range both {
		remoteSecrets(t, s.members[name], s.peersOf(name, both))
	}
	t.Run("nothing of it is left on the hub", func(t *testing.T) {
		found, err := s.hub.labelled(t.Context(), meshv1alpha1.LabelMember+"=north")
		must(t, err)
		if len(found) > 0 {
			t.Errorf("left: %v", found)
		}
	})
}

// orderOfLeaving: peers drop the remote secret, then the gateway's label goes, and later its Deployment.
func (s *suite) orderOfLeaving(t *testing.T, start time.Time) {
	first := func(c *cluster, resource, name string) time.Time {
		for _, one := range c.calls(t, start) {
			if one.changes() && one.isAbout(resource, name) {
				return one.Received
			}
		}
		t.Errorf("%s: %s %s was not written", c.name, resource, name)
		return time.Time{}
	}
	withdrawn := first(s.members["north"], "services", gatewayName)
	stopped := first(s.members["north"], "deployments", gatewayName)
	for _, name := range both {
		if forgotten := first(s.members[name], "secrets", "istio-remote-secret-north"); !forgotten.Before(withdrawn) {
			t.Errorf("%s forgot north at %s, after its gateway was withdrawn at %s", name, forgotten, withdrawn)
		}
	}
	if drained := stopped.Sub(withdrawn); drained < 8*time.Second || drained > time.Minute {
		t.Errorf("the gateway went %s after it was withdrawn, want a drain of about ten seconds", drained)
	}
}

// awaitGone waits until a MeshMember is gone.
func (s *suite) awaitGone(t *testing.T, name string) {
	t.Helper()
	await(t, "MeshMember of "+name+" is gone", func(ctx context.Context) error {
		m, err := s.member(ctx, name)
		return gone(err, m.Status.Conditions)
	})
}

// clean looks for anything of the mesh in a former member, and for everything that is not the mesh's.
func clean(t *testing.T, c *cluster) {
	t.Helper()
	found, err := c.labelled(t.Context(), meshv1alpha1.LabelInstallation+"="+ownerLabel)
	must(t, err)
	if len(found) > 0 {
		t.Errorf("left: %v", found)
	}
	namespace := &corev1.Namespace{}
	must(t, c.admin.Get(t.Context(), client.ObjectKey{Name: controlPlaneNamespace}, namespace))
	if label, ok := namespace.Labels[networkLabel]; ok || !namespace.DeletionTimestamp.IsZero() {
		t.Errorf("namespace: network label %q, deleted at %v", label, namespace.DeletionTimestamp)
	}
	crds := &apiextensionsv1.CustomResourceDefinitionList{}
	must(t, c.admin.List(t.Context(), crds))
	if len(crds.Items) < 14 {
		t.Errorf("%d CRDs, want Istio's to stay", len(crds.Items))
	}
	for _, o := range ofUsers {
		u, err := o.get(t.Context(), c)
		if err != nil {
			t.Errorf("%s of a user: %v", o.object, err)
			continue
		}
		for key, value := range o.content {
			if diff := cmp.Diff(value, u.Object[key]); diff != "" {
				t.Errorf("%s of a user (-want +got):\n%s", o.object, diff)
			}
		}
		if !u.GetDeletionTimestamp().IsZero() {
			t.Errorf("%s of a user is being deleted", o.object)
		}
	}
}

// deletion deletes the mesh while one member cannot be reached.
func (s *suite) deletion(t *testing.T) {
	east, west := s.members["east"], s.members["west"]
	users(t, east)
	s.writeKubeconfig(t, "west", west.kubeconfig(t, at(nowhere)))
	await(t, "west is unreachable", func(ctx context.Context) error {
		m, err := s.member(ctx, "west")
		return errors.Join(err, has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonConnectionDown))
	})
	before := westObjects(t, west)
	web := s.inUse(t, "east")
	t.Run("it is protected", s.protected)
	s.permitDeletion(t, shop(meshName))
	must(t, s.hub.admin.Delete(t.Context(), shop(meshName), client.PropagationPolicy(metav1.DeletePropagationForeground)))
	s.awaitWorkloads(t, "east")
	must(t, east.admin.Delete(t.Context(), web, client.GracePeriodSeconds(0)))
	// Users delete everything in one go. The connection that the operator has is enough.
	must(t, s.hub.admin.Delete(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: kubeconfigSecret("east")},
	}))
	s.awaitGone(t, "east")
	clean(t, east)
	s.waitsForWest(t)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyOrphan
	})
	await(t, "the mesh is gone", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		return gone(err, inst.Status.Conditions)
	})
	s.hubIsClean(t)
	if diff := cmp.Diff(before, westObjects(t, west)); diff != "" {
		t.Errorf("the orphaned member has changed (-before +after):\n%s", diff)
	}
}

// waitsForWest: the mesh and the member that cannot be reached say what they wait for.
func (s *suite) waitsForWest(t *testing.T) {
	t.Helper()
	await(t, "the mesh waits for west", func(ctx context.Context) error {
		m, err := s.member(ctx, "west")
		if err != nil {
			return err
		}
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		return errors.Join(
			has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonDeleting),
			has(inst.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonDeleting),
		)
	})
}

// hubIsClean: what the operator and cert-manager made for the mesh goes with it, a user's kubeconfig stays.
func (s *suite) hubIsClean(t *testing.T) {
	t.Helper()
	await(t, "nothing of the mesh is left on the hub", func(ctx context.Context) error {
		found, err := s.hub.labelled(ctx, meshv1alpha1.LabelInstallation+"="+meshName)
		if len(found) > 0 {
			err = errors.Join(err, fmt.Errorf("left: %v", found))
		}
		return err
	})
	key := client.ObjectKey{Namespace: operatorNamespace, Name: kubeconfigSecret("west")}
	if err := s.hub.admin.Get(t.Context(), key, &corev1.Secret{}); err != nil {
		t.Errorf("kubeconfig of west: %v", err)
	}
}

// westObjects are the UIDs of what an inventory lists.
func westObjects(t *testing.T, c *cluster) map[string]types.UID {
	t.Helper()
	listed, _, err := c.inventories(t.Context())
	must(t, err)
	out := map[string]types.UID{}
	for _, o := range listed {
		u, err := o.get(t.Context(), c)
		must(t, err)
		out[o.String()] = u.GetUID()
	}
	return out
}
