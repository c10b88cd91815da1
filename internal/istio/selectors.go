package istio

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// DiscoverySelectors select the namespaces that istiod reads, and in which it publishes the root of the mesh. None select all.
type DiscoverySelectors []metav1.LabelSelector

// ReadDiscoverySelectors finds meshConfig.discoverySelectors in values of the istiod chart.
func ReadDiscoverySelectors(values map[string]any) (DiscoverySelectors, error) {
	config, _ := mesh.AsRead(values)["meshConfig"].(map[string]any)
	raw, err := json.Marshal(config["discoverySelectors"])
	if err != nil {
		return nil, fmt.Errorf("meshConfig.discoverySelectors: %w", err)
	}
	var selectors DiscoverySelectors
	if err := json.Unmarshal(raw, &selectors); err != nil {
		return nil, fmt.Errorf("meshConfig.discoverySelectors must be a list of label selectors: %w", err)
	}
	return selectors, nil
}

// LeaveOut says whether a namespace with these labels is not selected.
func (s DiscoverySelectors) LeaveOut(have map[string]string) bool {
	return s.contradict(func(r labels.Requirement) bool { return !r.Matches(labels.Set(have)) })
}

// MustLeaveOut says whether a namespace that has these labels, besides others that are not known, cannot be selected.
func (s DiscoverySelectors) MustLeaveOut(known map[string]string) bool {
	return s.contradict(func(r labels.Requirement) bool {
		_, isKnown := known[r.Key()]
		return isKnown && !r.Matches(labels.Set(known))
	})
}

// contradict says whether each selector has a requirement that fails. One that cannot be read has none.
func (s DiscoverySelectors) contradict(fails func(labels.Requirement) bool) bool {
	for i := range s {
		selector, err := metav1.LabelSelectorAsSelector(&s[i])
		if err != nil {
			return false
		}
		failed := false
		requirements, _ := selector.Requirements()
		for _, r := range requirements {
			failed = failed || fails(r)
		}
		if !failed {
			return false
		}
	}
	return len(s) > 0
}
