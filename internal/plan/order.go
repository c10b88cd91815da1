package plan

import (
	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Settings of the user get into a work order here, each by one function, so that a version of the user's API can differ from the work
// order.

// orderedRestart is how the workloads of a member are restarted.
func orderedRestart(r *meshv1alpha1.Restart) meshv1alpha1.MemberRestart {
	r = r.DeepCopy()
	return meshv1alpha1.MemberRestart{Method: r.Method, FirstNamespaces: r.FirstNamespaces, MaxUnavailable: r.MaxUnavailable}
}
