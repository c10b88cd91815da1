package hub

import (
	"encoding/json"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SameObject is a merge patch for the object that was read, and not for another one of that name: that is a conflict.
type SameObject struct{ client.Patch }

// Data adds the UID to the patch.
func (p SameObject) Data(o client.Object) ([]byte, error) {
	raw, err := p.Patch.Data(o)
	if err != nil {
		return nil, err
	}
	patch := map[string]any{}
	if err := json.Unmarshal(raw, &patch); err != nil {
		return nil, err
	}
	metadata, ok := patch["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
	}
	metadata["uid"] = o.GetUID()
	patch["metadata"] = metadata
	return json.Marshal(patch)
}
