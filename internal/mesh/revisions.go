package mesh

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Difference is why a member that serves does not run what it is to run. Empty: it does.
func Difference(running, wanted meshv1alpha1.Revision) string {
	switch {
	case running.Version != wanted.Version:
		return fmt.Sprintf("spec.version is %s, the control plane that serves is %s", wanted.Version, running.Version)
	case !SameJSON(running.Values, wanted.Values):
		return "the control plane values differ from those of the control plane that serves"
	}
	return ""
}

// MergedValues are the values of a member: its own over those that all share.
func MergedValues(all *apiextensionsv1.JSON, m *meshv1alpha1.Member) (*apiextensionsv1.JSON, error) {
	shared, err := Values(all)
	if err != nil {
		return nil, fmt.Errorf("spec.controlPlane.values: %w", err)
	}
	own, err := Values(m.Values)
	if err != nil {
		return nil, fmt.Errorf("spec.members[%s].values: %w", m.Name, err)
	}
	merged := Merge(shared, own)
	if len(merged) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(merged)
	if err != nil {
		return nil, err
	}
	return &apiextensionsv1.JSON{Raw: raw}, nil
}

const (
	// HashLength is the length of a hash in names and in status.
	HashLength = 10
	// SuffixLength is the least length of a hash in the name of a revision.
	SuffixLength = 5
)

// ShortHash identifies content in names and in status.
func ShortHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:HashLength]
}

// RevisionHash identifies what a revision consists of, whatever it is called.
func RevisionHash(r meshv1alpha1.Revision) string {
	values, err := Values(r.Values)
	if err != nil {
		return ""
	}
	raw, err := json.Marshal(map[string]any{"version": r.Version, "values": values})
	if err != nil {
		return ""
	}
	return ShortHash(raw)
}
