package main

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/parts"
)

// operatorRules are what the operator itself does in a member: its parts, and what judges an upgrade. The second are what it does in the
// control plane's namespace only.
func operatorRules() (cluster, namespace []rbacv1.PolicyRule) {
	cluster, namespace = parts.New(parts.Deps{}).Rules()
	return append(cluster,
		// Gates: whether Gateways of the Gateway API are programmed. None is written.
		member.Rule("gateway.networking.k8s.io", member.Read, "gatewayclasses", "gateways", "httproutes"),
		// The preflight of an upgrade: permissions, room on nodes and in quotas.
		member.Rule("authorization.k8s.io", []string{"create"}, "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
		member.Rule("", member.Read, "nodes", "resourcequotas"),
	), namespace
}
