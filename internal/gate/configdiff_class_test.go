package gate

import (
	"os"
	"strings"
	"testing"

	"github.com/meshfleet/meshfleet/internal/configdiff"
)

// The API accepts the classes that there are, in their order.
func TestConfigDiffClassesAreTheAPIs(t *testing.T) {
	source, err := os.ReadFile("../../api/v1alpha1/gate_types.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, class := range configdiff.Classes() {
		names = append(names, string(class))
	}
	marker := "// +kubebuilder:validation:Enum=" + strings.Join(names, ";") + "\ntype ConfigDiffClass string"
	if !strings.Contains(string(source), marker) {
		t.Errorf("the type ConfigDiffClass has no marker %q", marker)
	}
}
