// Package harness drives a real lab the way a user would: it brings clusters up, installs the operator from its
// manifests, applies a MeshInstallation and sends requests between workloads.
//
// The demo, the end-to-end suite and the benchmark are written in its steps. Where a user would run a command
// (labctl, kubectl, hack/member-kubeconfig.sh) the harness runs the same command; where a user would look, it reads
// the API. It decides nothing about the operator: it only waits for what the API promises, within a deadline, and
// says what it saw when the deadline passes.
package harness
