package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// admission puts meshes before the CRD's rules and the operator's webhook. Each refusal names the field.
func (s *suite) admission(t *testing.T) {
	values := func(text string) meshOption {
		return func(inst *meshv1alpha1.MeshInstallation) {
			inst.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(text)}
		}
	}
	release := func(version string) meshOption {
		return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = version }
	}
	for _, name := range []string{"held", "one", "two"} {
		s.writeKubeconfig(t, name, s.members["north"].kubeconfig(t))
	}
	s.writeKubeconfig(t, "free", s.members["west"].kubeconfig(t))
	holder := shop("holder", withMember("held"))
	for _, c := range []struct {
		name    string
		options []meshOption
		// wantField is empty for a mesh that is fine.
		wantField string
	}{
		{"a mesh over a cluster", []meshOption{withMember("free")}, ""},
		{"known values", []meshOption{withMember("free"), values(`{"meshConfig": {"accessLogFile": "/dev/stdout"}}`)}, ""},
		{"an alias of a release", []meshOption{withMember("free"), release("1.29")}, "spec.version"},
		{"a release with a prefix", []meshOption{withMember("free"), release("v" + version)}, "spec.version"},
		{"a release that does not exist", []meshOption{withMember("free"), release("9.9.9")}, "spec.version"},
		{"a value that the chart does not know", []meshOption{withMember("free"), values(`{"autoscaleEnabeld": false}`)}, "spec.controlPlane.values.autoscaleEnabeld"},
		{"a value of another type", []meshOption{withMember("free"), values(`{"env": [{"name": "A", "value": "b"}]}`)}, "spec.controlPlane.values.env"},
		{"a name that Istio does not know", []meshOption{withMember("free"), values(`{"meshConfig": {"acessLogFile": "/dev/stdout"}}`)}, "spec.controlPlane.values.meshConfig.acessLogFile"},
		{"a value that is the operator's", []meshOption{withMember("free"), values(`{"revision": "mine"}`)}, "spec.controlPlane.values.revision"},
		{"one cluster as two members", []meshOption{withMember("one"), withMember("two")}, "spec.members[two].clusterRef"},
		{"another namespace", []meshOption{withMember("free"), func(inst *meshv1alpha1.MeshInstallation) { inst.Namespace = "default" }}, "metadata.namespace"},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, refused(s.hub.admin.Create(t.Context(), shop("other", c.options...), client.DryRunAll), c.wantField))
		})
	}
	t.Run("a cluster of another mesh", func(t *testing.T) {
		// The holder's member is never reached: this is about what is asked for.
		s.writeKubeconfig(t, "held", s.members["north"].kubeconfig(t, as("none")))
		must(t, s.hub.admin.Create(t.Context(), holder))
		await(t, "the cluster is refused to another mesh", func(ctx context.Context) error {
			return refused(s.hub.admin.Create(ctx, shop("other", withMember("one")), client.DryRunAll), "spec.members[one].clusterRef")
		})
		// Nothing is known of its member, so that it is protected.
		must(t, refused(s.hub.admin.Delete(t.Context(), holder), "spec.deletionProtection"))
		s.permitDeletion(t, holder)
		must(t, s.hub.admin.Delete(t.Context(), holder))
		await(t, "the holder is gone", func(ctx context.Context) error {
			err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(holder), holder)
			return gone(err, holder.Status.Conditions)
		})
	})
}

// refused says what differs from a refusal that names the field, or, without one, from being accepted.
func refused(err error, field string) error {
	switch {
	case field == "" && err != nil:
		return fmt.Errorf("want it accepted, got: %w", err)
	case field != "" && err == nil:
		return fmt.Errorf("want a refusal that names %s, but it is accepted", field)
	case field != "" && (!apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), field)):
		return fmt.Errorf("want a refusal that names %s, got: %w", field, err)
	}
	return nil
}

// gone says what differs from an object that is not found.
func gone(err error, conditions []metav1.Condition) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(err, fmt.Errorf("still there: %s", describe(conditions)))
}
