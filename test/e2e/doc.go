// Package e2e proves the operator on real clusters: real API servers and kubelets, real cert-manager, real istiod, real
// Envoy and real requests. Its tests need root and the lab, and the build tag e2e:
//
//	make e2e
//
// One lab serves the whole suite, and its subtests run in order, as a mesh lives: installed, used, disturbed, grown,
// shrunk and deleted. With KEEP_LAB=1 the clusters stay up afterwards.
package e2e
