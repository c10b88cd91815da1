// Package istiod asks istiod what it knows: at its debug endpoints, its metrics and its webhooks. It reaches istiod through
// the API server of the member, as kubectl port-forward does, so that the hub needs no route to pods. Such connections
// arrive at istiod from its own loopback address, where the debug endpoints answer without a token; through the API
// server's proxy of pods they do not.
//
// The member's credential must be allowed to get and create pods/portforward.
package istiod
