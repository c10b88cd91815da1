package member

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

const (
	// claimOrder is the key of the claim under which it records what runs.
	claimOrder = "order"
	// takeOverTime is how long a new MeshMember waits for a work order that is exactly what its cluster has a record of.
	takeOverTime = 30 * time.Second
)

// claimObject is the claim with the root that it records, if it is known. From the first time that a control plane serves it records
// what runs, before that is changed: it tells an operator without the MeshMember's status what must not be changed in place.
func (r *Reconciler) claimObject(s *scope, root string) (*unstructured.Unstructured, error) {
	data := map[string]any{}
	if root != "" {
		data[claimedRootKey] = root
	}
	for k, v := range r.claimData(s) {
		data[k] = v
	}
	if s.claimed[claimOrder] != "" || mesh.HasServed(s.member) {
		raw, err := json.Marshal(plan.InForce(&s.member.Spec))
		if err != nil {
			return nil, err
		}
		data[claimOrder] = string(raw)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": claimName, "namespace": s.namespace()},
		"data":     data,
	}}, nil
}

// takeOver lets a MeshMember without a status take over what its cluster has a record of: the object was lost, or came from
// a backup. Until the work order follows, nothing is written. An order that changes nothing in place is obeyed after a while.
func takeOver(s *scope, recorded string) phase.Result {
	st := &s.member.Status
	before := st.Recovered
	st.Recovered = nil
	if recorded == "" || mesh.HasServed(s.member) {
		return phase.Result{}
	}
	running := &meshv1alpha1.OrderInForce{}
	if err := json.Unmarshal([]byte(recorded), running); err != nil || len(running.Revisions) == 0 {
		return outcome.Stalled(meshv1alpha1.ReasonRestoring, fmt.Errorf(
			"ConfigMap %s/%s in the member has no readable record of what runs there, in key %q; delete that key if the work order is right",
			s.namespace(), claimName, claimOrder))
	}
	ordered := plan.InForce(&s.member.Spec)
	// Work orders are planned from the status. One from before the status tells what runs here is not obeyed, whatever it is.
	isTold := before != nil
	if isTold && (equality.Semantic.DeepEqual(running, ordered) ||
		plan.IsKept(running, &s.member.Spec) && s.now.Sub(s.member.CreationTimestamp.Time) > takeOverTime) {
		// Until the status shows it, this is all that tells the installation that a control plane has served here.
		st.Recovered = ordered
		return phase.Result{}
	}
	st.Recovered = running
	return phase.Waiting(meshv1alpha1.ReasonRestoring, fmt.Sprintf(
		"the MeshMember is new, and its cluster runs revision %s already: the work order is to take that over", running.DefaultRevision), outcome.ShortWait)
}
