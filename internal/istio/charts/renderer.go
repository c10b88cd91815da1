package charts

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Renderer renders a chart.
type Renderer interface {
	Render(r Request) ([]*unstructured.Unstructured, error)
}

// Checker checks a user's values for a chart.
type Checker interface {
	// CheckValues returns an error that joins one *ValueError for each value that cannot be accepted.
	CheckValues(c Ref, values map[string]any) error
}
