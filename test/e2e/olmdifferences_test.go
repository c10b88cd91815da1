//go:build e2e && packaging

package e2e

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// differencesOfOLM checks what the page and SECURITY.md report of an installation by OLM: built-in roles include the operator's kinds, and the
// webhooks check the operator's namespace only.
func (s *suite) differencesOfOLM(t *testing.T) {
	for role, want := range map[string]map[string]bool{
		"view":  {"get meshinstallations": true, "update meshinstallations": false, "approve meshupgrades": false},
		"edit":  {"get meshinstallations": true, "update meshinstallations": true, "approve meshupgrades": false},
		"admin": {"get meshinstallations": true, "update meshinstallations": true, "approve meshupgrades": true},
	} {
		t.Run(role, func(t *testing.T) {
			binding := &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "has-" + role},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "somebody-with-" + role}},
			}
			if err := s.env.Hub.Client.Create(t.Context(), binding); err != nil {
				t.Fatal(err)
			}
			for _, q := range []struct{ verb, resource string }{
				{"get", "meshinstallations"}, {"update", "meshinstallations"}, {"approve", "meshupgrades"},
			} {
				s.requireAccess(t, "somebody-with-"+role, q.verb, q.resource, want[q.verb+" "+q.resource])
			}
		})
	}
	elsewhere := &meshv1alpha1.MeshInstallation{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "other"}}
	elsewhere.Spec.Version, elsewhere.Spec.Members = "9.9.9", []meshv1alpha1.Member{member("fresh", "fresh")}
	if err := s.env.Hub.Client.Create(t.Context(), elsewhere, client.DryRunAll); err != nil {
		t.Errorf("an object of another namespace is checked: %v", err)
	}
}

// requireAccess wants the hub to grant or to refuse something to a user in the operator's namespace.
func (s *suite) requireAccess(t *testing.T, user, verb, resource string, want bool) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: harness.OperatorNamespace, Verb: verb, Group: meshv1alpha1.GroupVersion.Group, Resource: resource,
		},
	}}
	if err := s.env.Hub.Client.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	if review.Status.Allowed != want {
		t.Errorf("%s may %s %s: %t, want %t (%s)", user, verb, resource, review.Status.Allowed, want, review.Status.Reason)
	}
}
