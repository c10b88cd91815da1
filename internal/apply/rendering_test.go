package apply

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestRenderingsAreKeptWithTheInventory wants them read as they were written, and gone with the component.
func TestRenderingsAreKeptWithTheInventory(t *testing.T) {
	m := newMember(t)
	want := []Rendering{
		{Inputs: "b", Sets: map[string][]byte{"one": {1, 2}, "two": {3}}},
		{Inputs: "a", Sets: map[string][]byte{"one": {4}}},
	}
	c := Component{Name: "thing", Objects: []*unstructured.Unstructured{object("ConfigMap", "settings")}, Renderings: want}
	apply(t, m, c)
	kept := func() *Inventory {
		t.Helper()
		inventory, err := m.applier.Inventory(t.Context(), "thing")
		if err != nil {
			t.Fatal(err)
		}
		return inventory
	}
	if diff := cmp.Diff(want, kept().Renderings()); !kept().Exists() || diff != "" {
		t.Errorf("exists: %v, (-want +got):\n%s", kept().Exists(), diff)
	}
	m.writes = nil
	apply(t, m, c)
	c.Renderings = nil
	apply(t, m, c)
	if len(m.writes) > 0 {
		t.Errorf("written again: %v", m.writes)
	}
	if diff := cmp.Diff(references(c.Objects), references(kept().Present().Objects)); diff != "" {
		t.Errorf("present (-want +got):\n%s", diff)
	}
	c.Renderings = want[1:]
	apply(t, m, c)
	if got := kept().Renderings(); cmp.Diff(want[1:], got) != "" {
		t.Errorf("after one was dropped: %v", got)
	}
	for gone := false; !gone; {
		var err error
		if gone, err = m.applier.Delete(t.Context(), "thing"); err != nil {
			t.Fatal(err)
		}
	}
	if kept().Exists() || len(kept().Renderings()) > 0 {
		t.Errorf("after deletion: %v, %v", kept().Renderings(), kept().Exists())
	}
}

func TestHashOf(t *testing.T) {
	base := []Rendering{{Inputs: "a", Sets: map[string][]byte{"one": {1}}}}
	for name, other := range map[string][]Rendering{
		"inputs":  {{Inputs: "b", Sets: map[string][]byte{"one": {1}}}},
		"name":    {{Inputs: "a", Sets: map[string][]byte{"two": {1}}}},
		"content": {{Inputs: "a", Sets: map[string][]byte{"one": {2}}}},
		"former":  {base[0], base[0]},
		"none":    nil,
	} {
		if HashOf(base) == HashOf(other) {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

// TestARenderingTooLargeIsRefused writes nothing of a component whose rendering does not fit into a ConfigMap.
func TestARenderingTooLargeIsRefused(t *testing.T) {
	m := newMember(t)
	content := make([]byte, maxRendering+1)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	c := Component{Name: "thing", Objects: []*unstructured.Unstructured{object("ConfigMap", "settings")}, Renderings: []Rendering{{Inputs: "a", Sets: map[string][]byte{"one": content}}}}
	if _, err := m.applier.Apply(t.Context(), c); !errors.Is(err, ErrRenderingTooLarge) || len(m.writes) > 0 {
		t.Errorf("error is %v, want ErrRenderingTooLarge; written: %v", err, m.writes)
	}
	c.Renderings[0].Sets["one"] = content[:maxRendering]
	if _, err := m.applier.Apply(t.Context(), c); err != nil {
		t.Errorf("the largest that fits: %v", err)
	}
}
