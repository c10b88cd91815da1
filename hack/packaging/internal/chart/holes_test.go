package chart

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestHolesAreFilled(t *testing.T) {
	h := &holes{}
	object := map[string]any{
		"text":  "a" + h.expression("{{ .X }}") + "b",
		"key":   h.block("{{- with .Y }}\nkey:\n  {{- toYaml . | nindent +2 }}\n{{- end }}"),
		"list":  []any{"first", h.block("{{- toYaml .Z | nindent +0 }}")},
		"maps":  []any{map[string]any{"a": h.block("a:\n  {{- toYaml .A | nindent +2 }}"), "b": "c"}},
		"other": "{{ $labels.x }}",
	}
	got, err := h.render(object)
	if err != nil {
		t.Fatal(err)
	}
	want := `{{- with .Y }}
key:
  {{- toYaml . | nindent 2 }}
{{- end }}
list:
- first
{{- toYaml .Z | nindent 0 }}
maps:
- a:
    {{- toYaml .A | nindent 4 }}
  b: c
other: '{{ "{{" }} $labels.x }}'
text: a{{ .X }}b
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
}

func TestHolesRefuse(t *testing.T) {
	t.Run("an action as the first entry of an item", func(t *testing.T) {
		h := &holes{}
		_, err := h.render(map[string]any{"list": []any{map[string]any{"a": h.block("{{- if .X }}\na: b\n{{- end }}")}}})
		if err == nil || !strings.Contains(err.Error(), "first entry") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a block inside of a text", func(t *testing.T) {
		h := &holes{}
		_, err := h.render(map[string]any{"a": "text with " + h.block("b") + " inside"})
		if err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an object that has a mark itself", func(t *testing.T) {
		u := &unstructured.Unstructured{Object: map[string]any{"kind": "Role", "metadata": map[string]any{"name": expressionMark + "000"}}}
		if _, err := templateOf(u, ""); err == nil || !strings.Contains(err.Error(), "reserved") {
			t.Errorf("error %v", err)
		}
	})
}

func TestObjectsWithoutAPlaceAreRefused(t *testing.T) {
	for name, tt := range map[string]struct{ kind, name string }{
		"an unknown kind":    {kind: "Job", name: "meshfleet-job"},
		"an unknown Service": {kind: "Service", name: "meshfleet-other"},
	} {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{"kind": tt.kind, "metadata": map[string]any{"name": tt.name}}}
			if _, err := placeOf(u); err == nil || !strings.Contains(err.Error(), tt.kind) {
				t.Errorf("error %v, want the kind in it", err)
			}
		})
	}
}
