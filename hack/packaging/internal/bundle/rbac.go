package bundle

import (
	"fmt"
	"reflect"
	"slices"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// permissions are the rules that bindings give a ServiceAccount.
type permissions struct {
	account string
	// namespaced hold in the namespace of the operator, cluster hold everywhere.
	namespaced, cluster []rbacv1.PolicyRule
	// roles are the roles that have the rules, by roleKey.
	roles map[string]bool
}

func roleKey(kind, name string) string {
	return kind + "/" + name
}

// permissionsOf follows all bindings. A binding of anybody else is an error: OLM has no place for it.
func permissionsOf(objects []*unstructured.Unstructured, account string) (*permissions, error) {
	rules, err := rulesOf(objects)
	if err != nil {
		return nil, err
	}
	p := &permissions{account: account, roles: map[string]bool{}}
	roleBindings, err := manifests.DecodeKind[rbacv1.RoleBinding](objects, "RoleBinding")
	if err != nil {
		return nil, err
	}
	for _, b := range roleBindings {
		if p.namespaced, err = p.add(p.namespaced, rules, "RoleBinding "+b.Name, b.RoleRef, b.Subjects); err != nil {
			return nil, err
		}
	}
	clusterRoleBindings, err := manifests.DecodeKind[rbacv1.ClusterRoleBinding](objects, "ClusterRoleBinding")
	if err != nil {
		return nil, err
	}
	for _, b := range clusterRoleBindings {
		if p.cluster, err = p.add(p.cluster, rules, "ClusterRoleBinding "+b.Name, b.RoleRef, b.Subjects); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// rulesOf returns the rules of all roles by roleKey.
func rulesOf(objects []*unstructured.Unstructured) (map[string][]rbacv1.PolicyRule, error) {
	rules := map[string][]rbacv1.PolicyRule{}
	roles, err := manifests.DecodeKind[rbacv1.Role](objects, "Role")
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		rules[roleKey("Role", r.Name)] = r.Rules
	}
	clusterRoles, err := manifests.DecodeKind[rbacv1.ClusterRole](objects, "ClusterRole")
	if err != nil {
		return nil, err
	}
	for _, r := range clusterRoles {
		rules[roleKey("ClusterRole", r.Name)] = r.Rules
	}
	return rules, nil
}

// add appends the rules of the role that a binding names, without those that are there already.
func (p *permissions) add(
	to []rbacv1.PolicyRule, rules map[string][]rbacv1.PolicyRule, binding string, ref rbacv1.RoleRef, subjects []rbacv1.Subject,
) ([]rbacv1.PolicyRule, error) {
	for _, s := range subjects {
		if s.Kind != rbacv1.ServiceAccountKind || s.Name != p.account {
			return nil, fmt.Errorf("%s has the subject %s %q: OLM binds the ServiceAccount %q only", binding, s.Kind, s.Name, p.account)
		}
	}
	key := roleKey(ref.Kind, ref.Name)
	role, isThere := rules[key]
	if !isThere {
		return nil, fmt.Errorf("%s: there is no %s %q", binding, ref.Kind, ref.Name)
	}
	p.roles[key] = true
	for _, rule := range role {
		if !slices.ContainsFunc(to, func(other rbacv1.PolicyRule) bool { return reflect.DeepEqual(rule, other) }) {
			to = append(to, rule)
		}
	}
	return to, nil
}

// install writes the permissions into the install strategy.
func (p *permissions) install(strategy *operatorsv1alpha1.StrategyDetailsDeployment) {
	strategy.Permissions = []operatorsv1alpha1.StrategyDeploymentPermissions{{ServiceAccountName: p.account, Rules: p.namespaced}}
	strategy.ClusterPermissions = []operatorsv1alpha1.StrategyDeploymentPermissions{{ServiceAccountName: p.account, Rules: p.cluster}}
}
