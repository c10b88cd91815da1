// Command memberrbac writes the permissions of a member's credential: the ClusterRole
// config/member-rbac/role.yaml, and the Role config/member-rbac/controlplane/role.yaml with what is needed in the control plane's
// namespace only.
//
// The operator creates Istio's Roles and ClusterRoles in a member. Kubernetes lets nobody create a role with
// permissions that he does not hold himself, and the verbs `escalate` and `bind`, which lift that rule, amount to
// cluster-admin. So the roles are what the operator does in a member (operator.go) joined with every permission that
// the charts' roles contain, for every release that the operator installs, rendered the way the operator renders them.
//
//	go run ./hack/memberrbac --charts bin/charts --output config/member-rbac
package main
