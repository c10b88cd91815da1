package docs

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWebhookContractIsDocumented wants the fields of the request and of the answer in docs/gates.md to be those of the code.
func TestWebhookContractIsDocumented(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(read(t, "docs/gates.md"), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/gates.md has %d JSON blocks, want a request and an answer", len(blocks))
	}
	for i, key := range []string{"gate", "verdict"} {
		documented := map[string]any{}
		if err := json.Unmarshal([]byte(blocks[i][1]), &documented); err != nil {
			t.Errorf("%v in %s", err, blocks[i][1])
			continue
		}
		if diff := cmp.Diff(fieldsBeside(t, key), slices.Sorted(maps.Keys(documented))); diff != "" {
			t.Errorf("fields of the JSON with %q (-code +docs/gates.md):\n%s", key, diff)
		}
	}
}

// fieldsBeside are the JSON fields of the struct of internal/gate/custom that has a field, sorted.
func fieldsBeside(t *testing.T, field string) []string {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(root, "internal", "gate", "custom", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, body := range regexp.MustCompile(`(?s)struct \{(.*?)\n\}`).FindAllStringSubmatch(read(t, filepath.Join("internal", "gate", "custom", filepath.Base(path))), -1) {
			if !strings.Contains(body[1], `json:"`+field+`"`) {
				continue
			}
			for _, tag := range regexp.MustCompile(`json:"([a-z]+)`).FindAllStringSubmatch(body[1], -1) {
				out = append(out, tag[1])
			}
		}
	}
	slices.Sort(out)
	return out
}
