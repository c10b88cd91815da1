// Package preflight looks for what would be in the way of an upgrade of one member, before anything changes there. It only
// reads.
//
// Every check is asked, so that people learn of everything at once, and every problem comes with its cure. Hardly anything
// that it finds is a failure: a person can change it, and the upgrade waits. A check that cannot be asked is an error, never a pass.
//
//	Objects          the API server takes the objects of the target, by a dry run that the caller makes; invalid ones are a failure
//	Permissions      the credential may do what the new revision's objects need, and holds what their roles grant
//	CNI              new sidecars can redirect traffic: the CNI plugin runs if the target needs it, else namespaces admit the init container
//	CustomResources  Istio's definitions are ours to bring to the release, or their owner has done so
//	GatewayAPI       definitions of the Gateway API that are there are new enough for istiod to read them
//	Gateways         no other Gateway serves the port of the east-west gateway's pods, whose Envoy might reject the listener
//	Webhooks         nobody else's webhook adds sidecars in the mesh's namespaces
//	Room             nodes and quotas hold the new istiod and gateway beside the old ones
//	Kubernetes       the API server is new enough
//
// Trade-off: room is computed from requests, selectors and taints of nodes. Affinity, volumes and topology are the
// scheduler's business; what it refuses in the end shows as an istiod that does not become ready.
package preflight
