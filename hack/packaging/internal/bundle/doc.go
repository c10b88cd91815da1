// Package bundle makes the OperatorHub bundle from the repository: config/manifests has the hand-written part of the ClusterServiceVersion and
// everything that is installed, config/samples and config/manifests/examples have the examples.
//
// Every object of the kustomization has a place: in the ClusterServiceVersion, as a manifest of its own, or in the hands of OLM, which makes the
// ServiceAccount, the bindings, and the webhooks with their Service and certificate itself. An object without a place is an error, so that nothing
// is lost without a word when config/ grows.
package bundle
