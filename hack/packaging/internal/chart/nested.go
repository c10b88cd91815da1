package chart

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// child returns the map at a path of an object, not a copy of it. It adds maps that are missing.
func child(object map[string]any, path ...string) (map[string]any, error) {
	for n, key := range path {
		next, ok := object[key]
		if !ok {
			next = map[string]any{}
			object[key] = next
		}
		if object, ok = next.(map[string]any); !ok {
			return nil, fmt.Errorf("%s is no map", strings.Join(path[:n+1], "."))
		}
	}
	return object, nil
}

// list returns a list of an object, not a copy of it.
func list(object map[string]any, field string) ([]any, error) {
	entries, ok := object[field].([]any)
	if !ok || len(entries) == 0 {
		return nil, fmt.Errorf("the list %s is empty or missing", field)
	}
	return entries, nil
}

// find returns the index of the first map in a list whose key has a value, and the map itself, not a copy of it.
func find(entries []any, key, value string) (int, map[string]any, error) {
	for i := range entries {
		if m, ok := entries[i].(map[string]any); ok && m[key] == value {
			return i, m, nil
		}
	}
	return 0, nil, fmt.Errorf("no entry of the list has the %s %q", key, value)
}

// listItem returns a value as the lines of an item of a YAML list.
func listItem(value any) (string, error) {
	content, err := yaml.Marshal([]any{value})
	return string(content), err
}

// optional returns the lines of a field that a template has only if the value is not empty.
func optional(value, field string) string {
	return fmt.Sprintf("{{- with .Values.%s }}\n%s:\n  {{- toYaml . | nindent +2 }}\n{{- end }}", value, field)
}

// items returns the lines that add the entries of a value to a map or to a list.
func items(value string) string {
	return fmt.Sprintf("{{- with .Values.%s }}\n{{- toYaml . | nindent +0 }}\n{{- end }}", value)
}
