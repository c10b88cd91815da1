package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Env         map[string]string `json:"env"`
	Jobs        map[string]struct {
		Permissions map[string]string `json:"permissions"`
		Steps       []struct {
			Name, Uses, Run string
		} `json:"steps"`
	} `json:"jobs"`
}

// TestWorkflowOfReleases checks the parts of the workflow that can be checked without running it.
func TestWorkflowOfReleases(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(realRepository, ".github", "workflows", "release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(content, &w); err != nil {
		t.Fatal(err)
	}
	if w.Permissions == nil || len(w.Permissions) > 0 {
		t.Errorf("the workflow gives all jobs the permissions %v", w.Permissions)
	}
	makefile, err := os.ReadFile(filepath.Join(realRepository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := 0
	for name, job := range w.Jobs {
		if len(job.Permissions) == 0 {
			t.Errorf("the job %s has no permissions of its own", name)
		}
		runsSources := false
		for _, step := range job.Steps {
			if step.Uses != "" {
				t.Errorf("the job %s uses the action %s", name, step.Uses)
			}
			for _, m := range regexp.MustCompile(`(?m)^ *make ([a-z -]+)$`).FindAllStringSubmatch(step.Run, -1) {
				runsSources = true
				for target := range strings.FieldsSeq(m[1]) {
					targets++
					if !strings.Contains(string(makefile), "\n"+target+":") {
						t.Errorf("the job %s makes %s, which the Makefile does not have", name, target)
					}
				}
			}
		}
		if runsSources && (job.Permissions["id-token"] != "" || job.Permissions["packages"] != "") {
			t.Errorf("the job %s runs the sources and can sign or push: %v", name, job.Permissions)
		}
	}
	if targets == 0 {
		t.Error("the workflow makes nothing")
	}
	for name, tool := range w.Env {
		if !regexp.MustCompile(`@v\d+\.\d+\.\d+$`).MatchString(tool) {
			t.Errorf("%s is not of a fixed version: %s", name, tool)
		}
	}
}
