// Package bench measures how long the operator takes to bring a mesh of two members from one `kubectl apply` to Ready,
// against a script that installs the same mesh with helm and kubectl (manual/install.sh), in the same lab, with the same
// charts, images and values:
//
//	make bench
//
// The script comes in two variants: one cluster after the other, as a person works, and both at the same time. Rounds of
// the three contestants are interleaved, so that a slow moment of the machine hits all of them, and each starts from
// clusters without Istio, its namespace and its CRDs. The medians and ratios are printed and written to bin/bench.txt.
package bench
