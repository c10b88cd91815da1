// Command charts packages Istio's charts base, istiod and gateway from the istio.io/istio Go modules into a directory,
// one subdirectory per release, the way Istio's release build does: Chart.yaml and the default image hub and tag
// carry the release.
//
// The module archives are verified against the checksums in modules.txt before anything is read from them. A release
// whose directory is already made from the same archive by the same packager is left alone.
//
//	go run ./hack/charts --output bin/charts
package main
