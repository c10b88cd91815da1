// Package traffic holds checks of what users of a mesh rely on: requests that cross clusters, and the Istio features
// that must keep working while the mesh is installed, upgraded and repaired.
//
// Each check is a function of a running mesh with the harness's workloads. It may run at any time and any number of
// times: it writes its own Istio objects, waits for their effect by looking at the behaviour, removes them again even
// when it fails, and waits until the behaviour is what it was before. Checks run one after the other, because they
// share the workloads.
package traffic
