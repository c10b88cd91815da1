// Package configdiff says what a proxy would lose if it were configured by another istiod: it compares two whole
// configurations of Envoy by what they mean, and sorts what differs into classes.
//
// Releases of Istio write the same intent in different ways, so things are matched by what they do and not by how they
// are called: listeners by address, filter chains by the connections that they take, filters by name or else by type,
// route configurations by the chain that uses them, virtual hosts by domain, routes by match, and the sockets of a
// cluster by the endpoints that they apply to. Only clusters have nothing but a name, which is an interface of Istio's
// to users of EnvoyFilter and of metrics.
//
// What is left after that and still differs is Changed, with the path of the field: a timeout of another length, say.
// It is for people to read. Nothing that differs is left out, but for what only names the configuration's origin.
package configdiff
