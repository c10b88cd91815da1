// Package envtest runs the whole operator against real API servers: one hub and three members, each a kube-apiserver
// with its own etcd. One mesh lives through the suite in order: installed, left alone, disturbed, changed, grown, shrunk
// and deleted; then the hub has a mesh of its own.
//
// Real are the API servers with their admission, the CRDs, Istio's charts, the admission webhook, the manager with
// everything that main.go registers, and the credentials: on the hub the operator has the permissions of config/rbac, in
// members those of config/member-rbac, and nothing else. Every call that it makes is in the API servers' audit logs,
// which the tests read.
//
// There is no node, no controller manager and no container here. What the operator needs of them is played:
//
//	cert-manager         issues Certificates from the Issuers on the hub, self-signed and CA   issuer_test.go
//	garbage collection   deletes objects of the hub whose owner is gone                        collector_test.go
//	kubelet and friends  roll Deployments out, make pods ready, finish their deletion, give
//	                     LoadBalancer Services an address                                      kubelet_test.go
//	istiod               publishes its root, arms its webhooks and makes them fail closed,
//	                     admits what the API server asks about, reads its peers                istiod_test.go
//	pod network          leads the API server to that istiod                                   network_test.go
//
// No stage of an upgrade passes its gates here: there are no proxies to ask about. TestHeld is a story of its own, with one hub and no member: there
// the test plays the reconciler of members, and reports every stage as done, so that upgrades come to their end.
//
// The istiod that is played answers with certificates signed by the member's cacerts, and reads peers with the
// credentials of the remote secrets: what would not work with a real one fails here too. What only a real one
// proves, such as injection, configuration of proxies and traffic, is in test/e2e. Leader election, the metrics endpoint
// and main.go's flags are not run here either.
//
// The tests need the binaries that KUBEBUILDER_ASSETS points at and the packaged charts; `make test` sees to both. With
// ENVTEST_LOG=<file> the operator's whole log is kept.
package envtest
