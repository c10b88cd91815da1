package webhooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func unprotected(i *meshv1alpha1.MeshInstallation) {
	i.Spec.DeletionProtection = meshv1alpha1.DeletionProtectionDisabled
}

// reporting is a MeshMember that answers and runs so many pods with a proxy.
func reporting(installation, name string, pods int32) *meshv1alpha1.MeshMember {
	m := meshMember(installation, name, bySecret(name), "uid-of-"+name)
	m.Labels = map[string]string{meshv1alpha1.LabelInstallation: installation}
	m.Status.Conditions = []metav1.Condition{{Type: meshv1alpha1.ConditionReachable, Status: metav1.ConditionTrue}}
	m.Status.Proxies = &pods
	return m
}

func TestDeletionOfAMeshThatIsInUseIsRefused(t *testing.T) {
	shop := func(options ...option) *meshv1alpha1.MeshInstallation {
		return installation("shop", append([]option{version("9.9.9"), member("east", bySecret("east"))}, options...)...)
	}
	owned := reporting("shop", "east", 2)
	owned.Labels, owned.OwnerReferences = nil, []metav1.OwnerReference{{UID: "uid-of-shop", Controller: new(true)}}
	for name, c := range map[string]struct {
		inst    *meshv1alpha1.MeshInstallation
		objects []client.Object
		// want is in the refusal. Empty: the deletion is allowed.
		want string
	}{
		"pods run": {shop(), []client.Object{reporting("shop", "east", 2)}, "2 pods with a proxy of this mesh run in 1 members (east: 2)"},
		"pods run, and the protection is disabled": {shop(unprotected), []client.Object{reporting("shop", "east", 2)}, ""},
		"no pod runs":                                 {shop(), []client.Object{reporting("shop", "east", 0)}, ""},
		"pods run in another mesh only":               {shop(), []client.Object{reporting("shop", "east", 0), reporting("other", "west", 5)}, ""},
		"nothing is known of the member":              {shop(), nil, "(east: not asked yet)"},
		"the MeshMember lost its label":               {shop(func(i *meshv1alpha1.MeshInstallation) { i.UID = "uid-of-shop" }), []client.Object{owned}, "(east: 2)"},
		"it is being deleted":                         {shop(deleted), []client.Object{reporting("shop", "east", 2)}, ""},
		"the operator does not work in its namespace": {shop(in("elsewhere")), nil, "(east: not asked yet)"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newValidator(t, c.objects...)
			v.namespaces = []string{namespace}
			_, err := v.ValidateDelete(t.Context(), c.inst)
			if c.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			cure := fmt.Sprintf(`kubectl -n %s patch mesh shop --type merge -p '{"spec":{"deletionProtection":"Disabled"}}'`, c.inst.Namespace)
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), c.want) || !strings.HasSuffix(err.Error(), cure) {
				t.Errorf("error is %v, want a refusal with %q that ends with %s", err, c.want, cure)
			}
		})
	}
}

// TestDeletionIsRefusedWhileMembersCannotBeRead takes no failure to read for members without pods.
func TestDeletionIsRefusedWhileMembersCannotBeRead(t *testing.T) {
	broken := errors.New("the cache says no")
	v := newValidator(t)
	v.reader = interceptor.NewClient(fake.NewClientBuilder().WithScheme(newScheme(t)).Build(), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken },
	})
	if _, err := v.ValidateDelete(t.Context(), installation("shop")); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), broken.Error()) {
		t.Errorf("error is %v, want an internal one with %q", err, broken)
	}
	if _, err := v.ValidateDelete(t.Context(), installation("shop", unprotected)); err != nil {
		t.Errorf("a mesh that is not protected: %v", err)
	}
}
