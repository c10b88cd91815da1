package charts

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// mixedTypes are values for which a chart takes more than the type of its default: numbers or percentages, or numbers
// where the default is an empty map.
var mixedTypes = map[string][]string{
	Istiod:  {"pdb.minAvailable", "pdb.maxUnavailable"},
	Gateway: {"autoscaling.targetMemoryUtilizationPercentage"},
}

// types refuses values of another type than the chart's default has, at any depth. A default that is null or an empty text
// leaves the type open, as far as it is no map and no list.
func (c *valueCheck) types(prefix string, values, defaults map[string]any) {
	var walk func(path string, values, defaults map[string]any)
	walk = func(path string, values, defaults map[string]any) {
		for _, k := range sortedKeys(values) {
			v, d := values[k], defaults[k]
			at := path + k
			if slices.Contains(mixedTypes[c.chart], at) {
				continue
			}
			if problem := wrongType(v, d, c.source()); problem != "" {
				c.refuse(prefix+at, "%s", problem)
				continue
			}
			below, isMap := v.(map[string]any)
			if known, ok := d.(map[string]any); ok && isMap {
				walk(at+".", below, known)
			}
		}
	}
	walk("", values, defaults)
}

// wrongType says what is wrong with the type of a value and what to write, or nothing. A null takes the default away, and a
// number may stand where a text does, as in quantities.
func wrongType(v, of any, source string) string {
	have, want := typeOf(v), typeOf(of)
	isScalar := want == "text" || want == "number" || want == "boolean"
	switch {
	case have == want || v == nil || of == nil:
		return ""
	case want == "text" && have == "number":
		return ""
	case of == "" && have == "boolean":
		return ""
	}
	cure := "write a " + want
	switch {
	case have == "list" && want == "map" && isNamedList(v):
		cure = "write a map with the names as keys, NAME: value"
	case have == "text" && want == "map":
		cure = "write its content as keys, without quotes or |"
	case have == "text" && isScalar:
		cure = "remove the quotes"
		if want == "boolean" {
			cure = "write true or false, without quotes"
		}
	case want == "text" && have == "boolean":
		cure = "put it in quotes"
	}
	return fmt.Sprintf("is a %s, and %s has a %s there; %s", have, source, want, cure)
}

// isNamedList tells a list of maps that have names, as in the environment of a container.
func isNamedList(v any) bool {
	list, _ := v.([]any)
	return len(list) > 0 && !slices.ContainsFunc(list, func(item any) bool {
		m, ok := item.(map[string]any)
		return !ok || m["name"] == nil
	})
}

// typeOf names the type of a value of JSON or YAML.
func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "map"
	case []any:
		return "list"
	case string:
		return "text"
	case bool:
		return "boolean"
	case json.Number, float64, float32, int, int64, int32, uint64:
		return "number"
	}
	return strings.ReplaceAll(fmt.Sprintf("%T", v), "*", "")
}
