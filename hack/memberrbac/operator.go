package main

import rbacv1 "k8s.io/api/rbac/v1"

// operatorRules are what the operator itself does in a member. Keep them in step with the packages below internal/
// that write there.
func operatorRules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	keep := []string{"get", "list", "watch", "create", "update", "patch"} // may write, must not delete
	own := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	return []rbacv1.PolicyRule{
		// The control plane's namespace is made and labelled; users' namespaces are read; none is deleted.
		rule("", keep, "namespaces"),
		// CRDs outlive an installation, because deleting one deletes users' configuration.
		rule("apiextensions.k8s.io", keep, "customresourcedefinitions"),
		// What the charts consist of, besides inventories, cacerts and remote secrets.
		rule("", own, "configmaps", "secrets", "serviceaccounts", "services"),
		rule("apps", own, "deployments"),
		rule("autoscaling", own, "horizontalpodautoscalers"),
		rule("policy", own, "poddisruptionbudgets"),
		rule("networking.k8s.io", own, "networkpolicies"),
		rule("rbac.authorization.k8s.io", own, "clusterrolebindings", "clusterroles", "rolebindings", "roles"),
		rule("admissionregistration.k8s.io", own,
			"mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
			"validatingwebhookconfigurations"),
		// The listener of the east-west gateway.
		rule("networking.istio.io", own, "gateways"),
		// Tokens by which peers read this cluster, for that one account: a token of any other might hold more than
		// this role.
		{
			APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"},
			ResourceNames: []string{"istio-reader-service-account"}, Verbs: []string{"create"},
		},
		// Readiness, and istiod's debug endpoints through a port-forward.
		rule("", read, "pods"),
		// The endpoint of the marker by which peers see that they receive what is new.
		rule("discovery.k8s.io", own, "endpointslices"),
		rule("", []string{"create", "get"}, "pods/portforward"),
		// Workloads that have a proxy of another revision than wanted are restarted, by an annotation. Users' workloads are
		// patched and nothing else. Deployments are above.
		rule("apps", []string{"get", "list", "patch"}, "daemonsets", "statefulsets"),
		rule("apps", []string{"get", "list"}, "replicasets"),
		// Whether their pod templates name a tag or a revision that is to go.
		rule("batch", []string{"get", "list"}, "cronjobs", "jobs"),
		// With spec.dataPlane.restart.method Evict their pods are evicted instead, as PodDisruptionBudgets permit. Pods are
		// never deleted otherwise.
		rule("", []string{"create"}, "pods/eviction"),
		// Gateways of the Gateway API: whether they are programmed, and which revision they ask for. None is written.
		rule("gateway.networking.k8s.io", []string{"get", "list"}, "gatewayclasses", "gateways", "httproutes"),
		// The preflight of an upgrade: permissions, room on nodes and in quotas.
		rule("authorization.k8s.io", []string{"create"}, "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
		rule("", []string{"get", "list"}, "nodes", "resourcequotas"),
	}
}

func rule(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}
