package mesh

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// SameJSON compares by content: the API server may reorder keys.
func SameJSON(a, b *apiextensionsv1.JSON) bool {
	va, errA := Values(a)
	vb, errB := Values(b)
	if errA != nil || errB != nil {
		return false
	}
	// Marshalling sorts the keys of maps.
	ja, errA := json.Marshal(va)
	jb, errB := json.Marshal(vb)
	return errA == nil && errB == nil && bytes.Equal(ja, jb)
}

// Values reads a values field. Empty is an empty map. Error: the field is not a map.
func Values(raw *apiextensionsv1.JSON) (map[string]any, error) {
	values := map[string]any{}
	if raw == nil || len(raw.Raw) == 0 {
		return values, nil
	}
	if err := json.Unmarshal(raw.Raw, &values); err != nil {
		return nil, fmt.Errorf("values must be a map of the chart's values: %w", err)
	}
	if values == nil {
		// null
		return map[string]any{}, nil
	}
	return values, nil
}

// Merge lays over on base, map by map; anything else in over replaces what base has. Neither is changed.
func Merge(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		a, aIsMap := out[k].(map[string]any)
		b, bIsMap := v.(map[string]any)
		if aIsMap && bIsMap {
			out[k] = Merge(a, b)
			continue
		}
		out[k] = v
	}
	return out
}

// AsRead are values of the istiod chart as the chart reads them: what is below `pilot` lies over the rest.
func AsRead(values map[string]any) map[string]any {
	pilot, _ := values["pilot"].(map[string]any)
	return Merge(values, pilot)
}

// DefaultClusterDomain is the DNS domain of clusters for which the values name none.
const DefaultClusterDomain = "cluster.local"

// ClusterDomain is the DNS domain below which istiod names the services of all clusters, by values of the istiod chart.
func ClusterDomain(values map[string]any) string {
	global, _ := AsRead(values)["global"].(map[string]any)
	proxy, _ := global["proxy"].(map[string]any)
	if domain, _ := proxy["clusterDomain"].(string); domain != "" {
		return domain
	}
	return DefaultClusterDomain
}
