package envtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	admissionAPI = "admissionregistration.k8s.io/v1"
	rbacAPI      = "rbac.authorization.k8s.io/v1"
)

// drift disturbs objects of the operator in a member, one after the other, and expects each as it was.
func (s *suite) drift(t *testing.T) {
	east := s.members["east"]
	set := func(value any, path ...string) func(*unstructured.Unstructured) error {
		return func(u *unstructured.Unstructured) error { return unstructured.SetNestedField(u.Object, value, path...) }
	}
	cases := []struct {
		name string
		object
		// edit is nil for objects that are deleted.
		edit func(*unstructured.Unstructured) error
	}{
		// The first case finds an operator that is at rest, so that nothing but the watch tells it.
		{"no network of the control plane's namespace", object{"v1", "Namespace", "", controlPlaneNamespace}, dropLabel(networkLabel)},
		{"network of the control plane's namespace", object{"v1", "Namespace", "", controlPlaneNamespace}, set("elsewhere", "metadata", "labels", networkLabel)},
		{"target port of a Service", object{"v1", "Service", controlPlaneNamespace, gatewayName}, editPort("targetPort", int64(4711))},
		{"port of a Service", object{"v1", "Service", controlPlaneNamespace, gatewayName}, editPort("port", int64(4711))},
		{"rules of a ClusterRole", object{rbacAPI, "ClusterRole", "", "istiod-clusterrole-" + revision + "-" + controlPlaneNamespace}, set([]any{}, "rules")},
		{"image of a Deployment", object{"apps/v1", "Deployment", controlPlaneNamespace, "istiod-" + revision}, editImage},
		{"labels of a Deployment", object{"apps/v1", "Deployment", controlPlaneNamespace, gatewayName}, dropLabel("app.kubernetes.io/managed-by")},
		{"installation's label of a ServiceAccount", object{"v1", "ServiceAccount", controlPlaneNamespace, "istiod-" + revision}, dropLabel(meshv1alpha1.LabelInstallation)},
		{"all labels of a ConfigMap", object{"v1", "ConfigMap", controlPlaneNamespace, "istio-" + revision}, dropLabels},
		{"all labels of an inventory", object{"v1", "ConfigMap", controlPlaneNamespace, "meshfleet-inventory-trust"}, dropLabels},
		{"data of a ConfigMap", object{"v1", "ConfigMap", controlPlaneNamespace, "istio-" + revision}, set("nothing", "data", "mesh")},
		{"spec of an Istio Gateway", object{"networking.istio.io/v1", "Gateway", controlPlaneNamespace, "cross-network-gateway"}, set("nobody", "spec", "selector", "istio")},
		{"deleted injector", object{admissionAPI, "MutatingWebhookConfiguration", "", "istio-revision-tag-prod"}, nil},
		{"deleted validator", object{admissionAPI, "ValidatingWebhookConfiguration", "", "istiod-default-validator"}, nil},
		{"deleted remote secret", object{"v1", "Secret", controlPlaneNamespace, "istio-remote-secret-west"}, nil},
		{"deleted cacerts", object{"v1", "Secret", controlPlaneNamespace, "cacerts"}, nil},
		{"deleted Istio Gateway", object{"networking.istio.io/v1", "Gateway", controlPlaneNamespace, "cross-network-gateway"}, nil},
		{"deleted inventory", object{"v1", "ConfigMap", controlPlaneNamespace, "meshfleet-inventory-base"}, nil},
		{"deleted binding", object{rbacAPI, "ClusterRoleBinding", "", "istiod-clusterrole-" + revision + "-" + controlPlaneNamespace}, nil},
	}
	for _, c := range cases {
		done := t.Run(c.name, func(t *testing.T) {
			before := disturb(t, east, c.object, c.edit)
			await(t, c.object.String()+" is as it was", func(ctx context.Context) error {
				now, err := c.get(ctx, east)
				if err != nil {
					return err
				}
				if diff := cmp.Diff(essence(before), essence(now)); diff != "" {
					return fmt.Errorf("(-before +now):\n%s", diff)
				}
				return nil
			})
		})
		if !done {
			t.FailNow()
		}
	}
	t.Run("what others add stays", s.additions)
	s.awaitReady(t, both...)
}

// disturb edits an object, or deletes it when there is no edit, and returns it as it was before.
func disturb(t *testing.T, c *cluster, o object, edit func(*unstructured.Unstructured) error) (before *unstructured.Unstructured) {
	t.Helper()
	await(t, "disturb "+o.String(), func(ctx context.Context) error {
		u, err := o.get(ctx, c)
		if err != nil {
			return err
		}
		before = u.DeepCopy()
		if edit == nil {
			return c.admin.Delete(ctx, u)
		}
		if err := errors.Join(edit(u), c.admin.Update(ctx, u)); err != nil {
			return err
		}
		if u.GetResourceVersion() == before.GetResourceVersion() {
			t.Error("the edit has changed nothing")
		}
		return nil
	})
	return before
}

// additions are not the operator's business, even in an object that it has to repair.
func (s *suite) additions(t *testing.T) {
	east, service := s.members["east"], object{"v1", "Service", controlPlaneNamespace, gatewayName}
	before := disturb(t, east, service, func(u *unstructured.Unstructured) error {
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations["example.com/cloud"] = "was here"
		u.SetAnnotations(annotations)
		return editPort("targetPort", int64(4711))(u)
	})
	await(t, "the Service is repaired", func(ctx context.Context) error {
		now, err := service.get(ctx, east)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before.Object["spec"], now.Object["spec"]); diff != "" {
			return fmt.Errorf("(-before +now):\n%s", diff)
		}
		if now.GetAnnotations()["example.com/cloud"] != "was here" {
			t.Error("the annotation is gone")
		}
		return nil
	})
}

func editPort(field string, value any) func(*unstructured.Unstructured) error {
	return func(u *unstructured.Unstructured) error {
		ports, _, err := unstructured.NestedSlice(u.Object, "spec", "ports")
		if err != nil {
			return err
		}
		ports[0].(map[string]any)[field] = value
		return unstructured.SetNestedSlice(u.Object, ports, "spec", "ports")
	}
}

func editImage(u *unstructured.Unstructured) error {
	containers, _, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	containers[0].(map[string]any)["image"] = "example.com/other:1"
	return unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
}

func dropLabel(key string) func(*unstructured.Unstructured) error {
	return func(u *unstructured.Unstructured) error {
		labels := u.GetLabels()
		delete(labels, key)
		u.SetLabels(labels)
		return nil
	}
}

func dropLabels(u *unstructured.Unstructured) error {
	u.SetLabels(nil)
	return nil
}

// essence is an object without what the API server and controllers write into it.
func essence(u *unstructured.Unstructured) map[string]any {
	e := u.DeepCopy()
	e.Object["metadata"] = map[string]any{"name": e.GetName(), "labels": e.GetLabels()}
	delete(e.Object, "status")
	ports, _, _ := unstructured.NestedSlice(e.Object, "spec", "ports")
	for _, p := range ports {
		delete(p.(map[string]any), "nodePort")
	}
	if len(ports) > 0 {
		_ = unstructured.SetNestedSlice(e.Object, ports, "spec", "ports")
	}
	return e.Object
}
