package docs

import (
	"regexp"
	"strings"
	"testing"
)

// TestTargetsAreDocumented wants every target of the Makefile in CONTRIBUTING.md, and no other target.
func TestTargetsAreDocumented(t *testing.T) {
	targets := map[string]bool{"help": true}
	page := read(t, "CONTRIBUTING.md")
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.* ## `).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
		if m[1] != "help" && !strings.Contains(page, "`make "+m[1]+"`") {
			t.Errorf("CONTRIBUTING.md does not mention `make %s`: add it to the table of targets", m[1])
		}
	}
	if len(targets) < 10 {
		t.Errorf("found only %d targets in the Makefile", len(targets))
	}
	for _, m := range regexp.MustCompile("`make ([a-z0-9-]+)").FindAllStringSubmatch(page, -1) {
		if !targets[m[1]] {
			t.Errorf("CONTRIBUTING.md mentions `make %s`, which does not exist", m[1])
		}
	}
}
