package istio

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestHasServerAt(t *testing.T) {
	pod := map[string]string{"istio": "eastwestgateway", "app": "istio-eastwestgateway-1-29-1"}
	gateway := func(selector map[string]any, ports ...int64) *unstructured.Unstructured {
		var servers []any
		for _, p := range ports {
			servers = append(servers, map[string]any{"port": map[string]any{"number": p}})
		}
		return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"selector": selector, "servers": servers}}}
	}
	ours := map[string]any{"istio": "eastwestgateway"}
	for name, c := range map[string]struct {
		gateway *unstructured.Unstructured
		want    bool
	}{
		"that of Istio's guide":            {gateway(ours, 15443), true},
		"one of several servers":           {gateway(ours, 443, 15443), true},
		"by another label of the pods":     {gateway(map[string]any{"app": "istio-eastwestgateway-1-29-1"}, 15443), true},
		"without a selector":               {gateway(nil, 15443), true},
		"another port":                     {gateway(ours, 443), false},
		"other pods":                       {gateway(map[string]any{"istio": "ingressgateway"}, 15443), false},
		"a label more than the pods have":  {gateway(map[string]any{"istio": "eastwestgateway", "team": "a"}, 15443), false},
		"a selector that is none":          {gateway(map[string]any{"istio": int64(1)}, 15443), false},
		"one without servers":              {gateway(ours), false},
		"one whose servers are not a list": {&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"servers": "none"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := HasServerAt(c.gateway, pod, PassthroughPort); got != c.want {
				t.Errorf("has a server at the port: %v, want %v", got, c.want)
			}
		})
	}
}
