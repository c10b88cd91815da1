package charts

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Renderer renders a chart.
type Renderer interface {
	Render(r Request) ([]*unstructured.Unstructured, error)
}
