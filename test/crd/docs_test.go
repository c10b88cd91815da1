package crd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

// bases complete the objects of which the documentation shows only a part.
var bases = map[string]map[string]any{
	installations.name: {
		"apiVersion": "mesh.meshfleet.io/v1alpha1", "kind": "MeshInstallation",
		"metadata": map[string]any{"name": "shop", "namespace": "meshfleet-system"},
		"spec": map[string]any{
			"version": "1.28.3",
			"members": []any{map[string]any{"name": "east", "clusterRef": map[string]any{"kubeconfigSecret": map[string]any{"name": "east-kubeconfig"}}}},
		},
	},
	upgrades.name: {
		"apiVersion": "mesh.meshfleet.io/v1alpha1", "kind": "MeshUpgrade",
		"metadata": map[string]any{"name": "shop-1-29-1", "namespace": "meshfleet-system"},
		"spec": map[string]any{
			"installation": "shop", "onFailure": "Rollback", "waves": []any{},
			"from": map[string]any{"revision": "1-28-3", "version": "1.28.3", "hash": "a"},
			"to":   map[string]any{"revision": "1-29-1", "version": "1.29.1", "hash": "b"},
		},
	},
	approvals.name: {
		"apiVersion": "mesh.meshfleet.io/v1alpha1", "kind": "MeshApproval",
		"metadata": map[string]any{"name": "shop-1-29-1-rest", "namespace": "meshfleet-system"},
		"spec":     map[string]any{"upgradeRef": map[string]any{"name": "shop-1-29-1", "uid": "u"}, "wave": "rest", "decision": "Pending"},
	},
}

var approvals = load("mesh.meshfleet.io_meshapprovals.yaml")

// TestDocumentedObjects validates what the pages tell people to apply, unknown fields included: objects and parts of objects
// in code blocks, and the patches of kubectl commands.
func TestDocumentedObjects(t *testing.T) {
	found := map[string]int{}
	for _, page := range documentation(t) {
		content, err := os.ReadFile(repository(page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range codeBlocks(string(content)) {
			for _, o := range documented(t, page, b) {
				found[page]++
				check(t, page, o)
			}
		}
	}
	for _, page := range []string{"docs/quickstart.md", "docs/upgrades.md", "docs/gates.md", "docs/upgrade-operations.md"} {
		if found[page] == 0 {
			t.Errorf("%s: no objects found", page)
		}
	}
}

type documentedObject struct {
	kind   *kind
	object map[string]any
}

func check(t *testing.T, page string, o documentedObject) {
	t.Helper()
	if unknown := o.kind.unknownFields(o.object); len(unknown) > 0 {
		t.Errorf("%s: %s has unknown fields: %v", page, o.kind.name, unknown)
	}
	if errs := o.kind.validate(runtime.DeepCopyJSON(o.object), nil); len(errs) > 0 {
		t.Errorf("%s: %s: %v in\n%v", page, o.kind.name, errs, o.object)
	}
}

func documentation(t *testing.T) []string {
	t.Helper()
	out := []string{"README.md", "SECURITY.md"}
	files, err := filepath.Glob(repository("docs", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d pages: %v", len(files), err)
	}
	for _, f := range files {
		out = append(out, filepath.Join("docs", filepath.Base(f)))
	}
	return out
}

type codeBlock struct{ language, text string }

var fence = regexp.MustCompile("(?s)(?:\\A|\n)( *)```([a-z]+)\n(.*?\n) *```")

func codeBlocks(page string) (out []codeBlock) {
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		text := strings.ReplaceAll("\n"+m[3], "\n"+m[1], "\n")
		out = append(out, codeBlock{m[2], text})
	}
	return out
}

var patch = regexp.MustCompile(`kubectl [^\n]*\bpatch (mesh|meshapproval|meshupgrade) [^\n]*-p '([^']*)'`)

// documented are the objects of the mesh that a code block shows.
func documented(t *testing.T, page string, b codeBlock) (out []documentedObject) {
	t.Helper()
	switch b.language {
	case "yaml":
		object := parse(t, b.text)
		_, hasSpec := object["spec"]
		_, hasStatus := object["status"]
		switch {
		case object["kind"] == installations.name:
			out = append(out, documentedObject{installations, object})
		case object["kind"] != nil:
			// Objects of others.
		case hasSpec:
			out = append(out, documentedObject{installations, merge(bases[installations.name], object)})
		case hasStatus:
			out = append(out, documentedObject{upgrades, merge(bases[upgrades.name], object)})
		}
	case "sh", "shell":
		for _, m := range patch.FindAllStringSubmatch(b.text, -1) {
			kinds := map[string]*kind{"mesh": installations, "meshapproval": approvals, "meshupgrade": upgrades}
			change := map[string]any{}
			if err := json.Unmarshal([]byte(m[2]), &change); err != nil {
				t.Errorf("%s: %v in %s", page, err, m[2])
				continue
			}
			k := kinds[m[1]]
			out = append(out, documentedObject{k, merge(bases[k.name], normalize(change).(map[string]any))})
		}
	}
	return out
}
