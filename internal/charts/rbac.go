package charts

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// groupResources names the resources of the API groups on which Istio's roles have wildcards. Groups that no longer
// exist (config.istio.io, authentication.istio.io, rbac.istio.io) are left out: there is nothing to read in them.
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
		for _, e := range expandRule(r) {
			m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&e)
			if err != nil {
				return err
			}
			rules = append(rules, m)
		}
	}
	return unstructured.SetNestedSlice(o.Object, rules, "rules")
}

func expandRule(r rbacv1.PolicyRule) []rbacv1.PolicyRule {
	if slices.Contains(r.Verbs, "*") {
		r.Verbs = allVerbs
	}
	if !slices.Contains(r.Resources, "*") {
		return []rbacv1.PolicyRule{r}
	}
	var out []rbacv1.PolicyRule
	for _, g := range r.APIGroups {
		if resources := groupResources[g]; len(resources) > 0 {
			e := r.DeepCopy()
			e.APIGroups, e.Resources = []string{g}, resources
			out = append(out, *e)
		}
	}
	return out
}
