// Package flux tells what Flux makes of the objects of the mesh: its own health checks over the recorded objects of config/argocd, and the
// samples in its own types.
package flux
