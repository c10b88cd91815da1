// Package gate judges whether a revision of one member is good, with nothing but that member's connection: what Kubernetes
// reports of its istiod and its proxies, what every istiod pod reports of its peers, endpoints, proxies and rejections, and
// how its webhooks answer. The endpoints of the peers themselves come from a function, which may be slow and may fail.
//
// A gate answers Pass, Fail, Pending (the verdict takes time), Inconclusive (there is too little data) or Error (the
// question could not be asked). Missing data never passes. No gate changes anything in the member: admission is asked by
// sending reviews straight to istiod, over TLS and trusting what the API server trusts, so that neither permission to
// create pods nor a dry run through other webhooks is needed. That the API server reaches istiod too is what an armed
// webhook shows.
//
// A gate has no memory but its last result. What may be on its way (a push not acknowledged yet, a pod that has just
// started) is asked again within one question, and is Inconclusive rather than Fail while it is young.
//
// This package has what all gates share: the question, the answer, and StageState, which makes the state of a stage from
// the answers. The gates are in the packages below it, which do not know each other:
//
//	builtin    gates that ask istiod and the member
//	custom     gates that users configure: webhooks and Prometheus
//	schedule   which of both are asked when; what reconcilers import
//	gatetest   what tests of gates share
package gate
