// Package docs checks the documentation against the code.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestConditionsAreDocumented wants every condition and reason of the API in docs/conditions.md.
func TestConditionsAreDocumented(t *testing.T) {
	page := read(t, "docs/conditions.md")
	found := 0
	for name, value := range testutil.APIConstants(t, "conditions.go") {
		if !strings.HasPrefix(name, "Condition") && !strings.HasPrefix(name, "Reason") {
			continue
		}
		found++
		if !strings.Contains(page, "`"+value+"`") {
			t.Errorf("docs/conditions.md does not mention `%s` (%s)", value, name)
		}
	}
	if found == 0 {
		t.Error("no conditions found in the API")
	}
}

var metricName = regexp.MustCompile(`\bmeshfleet_[a-z0-9_]+\b`)

// TestMetricsAreDocumented wants the same metrics in the code and in docs/metrics.md.
func TestMetricsAreDocumented(t *testing.T) {
	code := metricName.FindAllString(read(t, "internal/metrics/metrics.go"), -1)
	page := metricName.FindAllString(read(t, "docs/metrics.md"), -1)
	if len(code) == 0 {
		t.Error("no metrics found in the code")
	}
	for _, m := range code {
		if !slices.Contains(page, m) {
			t.Errorf("docs/metrics.md does not mention %s", m)
		}
	}
	for _, m := range page {
		if !slices.Contains(code, m) {
			t.Errorf("docs/metrics.md mentions %s, which does not exist", m)
		}
	}
}

// TestAlertsUseLabelsThatExist guards against metrics in queries whose labels the code does not set.
func TestAlertsUseLabelsThatExist(t *testing.T) {
	code := read(t, "internal/metrics/metrics.go")
	for _, label := range regexp.MustCompile(`\$labels\.([a-z_]+)`).FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		if !strings.Contains(code, strconv.Quote(label[1])) {
			t.Errorf("docs/metrics.md uses the label %s, which no metric has", label[1])
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinksLeadSomewhere follows the relative links of all pages, headings included.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path := filepath.Join(filepath.Dir(page), target)
			if target == "" {
				path = page
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
				continue
			}
			if heading != "" && !slices.Contains(headings(read(t, path)), heading) {
				t.Errorf("%s: %s has no heading for the link %s", page, path, m[1])
			}
		}
	}
}

var (
	documentPath = regexp.MustCompile(`\bdocs/[a-z0-9/-]+\.md\b(#[a-z0-9-]+)?`)
	// Files that name pages: sources, manifests, samples.
	namesPages = []string{".go", ".yaml", ".sh"}
)

// TestPagesNamedInCodeExist follows the paths of pages, headings included, in comments, messages and manifests.
func TestPagesNamedInCodeExist(t *testing.T) {
	found := 0
	for _, file := range files(t, namesPages...) {
		for _, name := range documentPath.FindAllString(read(t, file), -1) {
			found++
			path, heading, _ := strings.Cut(name, "#")
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s names %s, which does not exist", file, path)
				continue
			}
			if heading != "" && !slices.Contains(headings(read(t, path)), heading) {
				t.Errorf("%s: %s has no heading for %s", file, path, name)
			}
		}
	}
	if found == 0 {
		t.Error("no names of pages found")
	}
}

func pages(t *testing.T) []string {
	t.Helper()
	return files(t, ".md")
}

// files are the files of the repository with one of some extensions.
func files(t *testing.T, extensions ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bin" || entry.Name() == ".git" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if slices.Contains(extensions, filepath.Ext(path)) {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			out = append(out, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Errorf("no files found: %v", extensions)
	}
	return out
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// headings returns the anchors that a page's headings get.
func headings(page string) []string {
	var out []string
	for line := range strings.Lines(page) {
		if text := strings.TrimLeft(line, "#"); text != line && strings.HasPrefix(text, " ") {
			anchor := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
			out = append(out, strings.ReplaceAll(anchor, " ", "-"))
		}
	}
	return out
}
