package claim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
	// originKey is the key under which it records which hub claimed the cluster first. It stays when another hub takes over.
	originKey = "origin"
	// orderKey is the key of the claim under which it records what runs.
	orderKey = "order"
	// takeOverTime is how long a new MeshMember waits for a work order that is exactly what its cluster has a record of.
	takeOverTime = 30 * time.Second
)

// errUnrecorded says that a control plane runs of which it is not known what it is: nothing may be changed there.
var errUnrecorded = errors.New("nothing is changed in the member")

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
	data[originKey] = pass.Object.Status.Origin
	// An empty record says that nothing has served yet, which a missing one does not.
	data[orderKey] = ""
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

// takeOver lets a MeshMember without a status take over what its cluster runs: the object was lost, or came from a backup. Until the work
// order follows, nothing is written. An order that changes nothing in place is obeyed after a while.
func (s *Steps) takeOver(ctx context.Context, pass *member.Pass, found held) phase.Result {
	st := &pass.Object.Status
	before := st.Recovered
	st.Recovered = nil
	if mesh.HasServed(pass.Object) {
		return phase.Result{}
	}
	running, err := s.running(ctx, pass, found)
	if err != nil {
		// What is known to have served stays known.
		st.Recovered = before
		return outcome.StalledOr(err, errUnrecorded, meshv1alpha1.ReasonRestoring)
	}
	if running == nil {
		return phase.Result{}
	}
	ordered := plan.InForce(&pass.Object.Spec)
	running.ReaderTokens = cmp.Or(running.ReaderTokens, ordered.ReaderTokens)
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

// running is what the cluster runs: as the claim records it or, without a record, as it is found. Nil: no control plane of this mesh has
// ever served there. Error: errUnrecorded, if that cannot be known.
func (s *Steps) running(ctx context.Context, pass *member.Pass, found held) (*meshv1alpha1.OrderInForce, error) {
	recorded, isRecorded := found.data[orderKey]
	switch {
	case isRecorded && recorded == "" && found.isOurs:
		return nil, nil
	case recorded != "":
		running := &meshv1alpha1.OrderInForce{}
		if err := json.Unmarshal([]byte(recorded), running); err != nil || len(running.Revisions) == 0 {
			return nil, fmt.Errorf("%w: ConfigMap %s/%s in the member has no readable record of what runs there, in key %q; restore it, or delete "+
				"that key: then the operator looks at what is installed", errUnrecorded, pass.Namespace(), name, orderKey)
		}
		return running, nil
	}
	running, obstacle, err := s.Reconstruct(ctx, pass)
	if err == nil && obstacle != "" {
		err = fmt.Errorf("%w: ConfigMap %s/%s in the member, which records what runs there, was deleted or has no key %q; %s",
			errUnrecorded, pass.Namespace(), name, orderKey, obstacle)
	}
	return running, err
}
