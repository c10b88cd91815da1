package charts

import (
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// groupResources names the resources of the API groups on which Istio's roles have wildcards. Groups that no longer
// exist have none: there is nothing to read in them.
var groupResources = map[string][]string{
	"extensions.istio.io": {"trafficextensions", "wasmplugins"},
	"networking.istio.io": {
		"destinationrules", "envoyfilters", "gateways", "proxyconfigs", "serviceentries", "sidecars",
		"virtualservices", "workloadentries", "workloadgroups",
	},
	"security.istio.io":  {"authorizationpolicies", "peerauthentications", "requestauthentications"},
	"telemetry.istio.io": {"telemetries"},
	"gateway.networking.k8s.io": {
		"backendtlspolicies", "gatewayclasses", "gateways", "grpcroutes", "httproutes", "listenersets",
		"referencegrants", "tcproutes", "tlsroutes", "udproutes",
	},
	"gateway.networking.x-k8s.io": {"xbackendtrafficpolicies", "xlistenersets", "xmeshes"},

	"authentication.istio.io": nil,
	"config.istio.io":         nil,
	"rbac.istio.io":           nil,
}

// allVerbs is what the API server's wildcard verb stands for on ordinary resources.
var allVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

// expandRules replaces wildcards in a role by what they stand for.
func expandRules(o *unstructured.Unstructured) error {
	// ClusterRole serves for Role too: both have their rules in the same place.
	role := rbacv1.ClusterRole{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
		return err
	}
	if len(role.Rules) == 0 {
		return nil
	}
	rules := []any{}
	for _, r := range role.Rules {
		expanded, err := expandRule(r)
		if err != nil {
			return err
		}
		for _, e := range expanded {
			m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&e)
			if err != nil {
				return err
			}
			rules = append(rules, m)
		}
	}
	return unstructured.SetNestedSlice(o.Object, rules, "rules")
}

// expandRule fails on a wildcard in a group that it does not know: leaving that out would take a permission from istiod
// without a word.
func expandRule(r rbacv1.PolicyRule) ([]rbacv1.PolicyRule, error) {
	if slices.Contains(r.Verbs, "*") {
		r.Verbs = allVerbs
	}
	if !slices.Contains(r.Resources, "*") {
		return []rbacv1.PolicyRule{r}, nil
	}
	var out []rbacv1.PolicyRule
	for _, g := range r.APIGroups {
		resources, known := groupResources[g]
		if !known {
			return nil, fmt.Errorf("a wildcard on API group %q, whose resources are not known", g)
		}
		if len(resources) > 0 {
			e := r.DeepCopy()
			e.APIGroups, e.Resources = []string{g}, resources
			out = append(out, *e)
		}
	}
	return out, nil
}
