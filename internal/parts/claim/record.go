package claim

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

const (
	// rootKey is the key of the claim under which it records the mesh's root.
	rootKey = "root"
	// orderKey is the key of the claim under which it records what runs.
	orderKey = "order"
	// takeOverTime is how long a new MeshMember waits for a work order that is exactly what its cluster has a record of.
	takeOverTime = 30 * time.Second
)

// object is the claim with the root that it records, if it is known. From the first time that a control plane serves it records what
// runs, before that is changed: it tells an operator without the MeshMember's status what must not be changed in place.
func (s *Steps) object(pass *member.Pass, found held, root string) (*unstructured.Unstructured, error) {
	data := map[string]any{}
	if root != "" {
		data[rootKey] = root
	}
	for k, v := range s.identity(pass) {
		data[k] = v
	}
	if found.data[orderKey] != "" || mesh.HasServed(pass.Object) {
		raw, err := json.Marshal(plan.InForce(&pass.Object.Spec))
		if err != nil {
			return nil, err
		}
		data[orderKey] = string(raw)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": pass.Namespace()},
		"data":     data,
	}}, nil
}

// takeOver lets a MeshMember without a status take over what its cluster has a record of: the object was lost, or came from
// a backup. Until the work order follows, nothing is written. An order that changes nothing in place is obeyed after a while.
func takeOver(pass *member.Pass, recorded string) phase.Result {
	st := &pass.Object.Status
	before := st.Recovered
	st.Recovered = nil
	if recorded == "" || mesh.HasServed(pass.Object) {
		return phase.Result{}
	}
	running := &meshv1alpha1.OrderInForce{}
	if err := json.Unmarshal([]byte(recorded), running); err != nil || len(running.Revisions) == 0 {
		return outcome.Stalled(meshv1alpha1.ReasonRestoring, fmt.Errorf(
			"ConfigMap %s/%s in the member has no readable record of what runs there, in key %q; delete that key if the work order is right",
			pass.Namespace(), name, orderKey))
	}
	ordered := plan.InForce(&pass.Object.Spec)
	// Work orders are planned from the status. One from before the status tells what runs here is not obeyed, whatever it is.
	isTold := before != nil
	if isTold && (equality.Semantic.DeepEqual(running, ordered) ||
		plan.IsKept(running, &pass.Object.Spec) && pass.Now.Sub(pass.Object.CreationTimestamp.Time) > takeOverTime) {
		// Until the status shows it, this is all that tells the installation that a control plane has served here.
		st.Recovered = ordered
		return phase.Result{}
	}
	st.Recovered = running
	return phase.Waiting(meshv1alpha1.ReasonRestoring, fmt.Sprintf(
		"the MeshMember is new, and its cluster runs revision %s already: the work order is to take that over", running.DefaultRevision), outcome.ShortWait)
}
