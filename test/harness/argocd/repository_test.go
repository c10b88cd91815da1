package argocd

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/test/harness"
)

func newRepository(t *testing.T) *Repository {
	t.Helper()
	r, err := NewRepository(t.Context(), t.TempDir(), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRepository commits and reverts, and reads what a clone has.
func TestRepository(t *testing.T) {
	ctx, r := t.Context(), newRepository(t)
	if err := r.Write("mesh/a.yaml", "one\n"); err != nil {
		t.Fatal(err)
	}
	first, err := r.Commit(ctx, "First")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Edit("mesh/a.yaml", func(s string) string { return strings.ReplaceAll(s, "one", "two") }); err != nil {
		t.Fatal(err)
	}
	second, err := r.Commit(ctx, "Second")
	if err != nil || second == first {
		t.Fatalf("commit %s after %s: %v", second, first, err)
	}
	if got := pushed(t, r); got != "two\n" {
		t.Errorf("the repository has %q after the second commit", got)
	}
	if _, err := r.Revert(ctx); err != nil {
		t.Fatal(err)
	}
	if got := pushed(t, r); got != "one\n" {
		t.Errorf("the repository has %q after the second commit was reverted", got)
	}
	if err := r.Edit("mesh/a.yaml", func(s string) string { return strings.ReplaceAll(s, "three", "four") }); err == nil {
		t.Error("an edit that changes nothing was accepted")
	}
	if _, err := r.Commit(ctx, "Nothing"); err == nil {
		t.Error("a commit of nothing was accepted")
	}
}

func pushed(t *testing.T, r *Repository) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", r.bare, "show", branch+":mesh/a.yaml").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestSampleGetsTheAddressesOfTheLab wants every text of the sample that the lab replaces to be there, and none to stay.
func TestSampleGetsTheAddressesOfTheLab(t *testing.T) {
	env, err := harness.New(harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := newRepository(t)
	if err := r.Copy(env.Path(Sample), "."); err != nil {
		t.Fatal(err)
	}
	if err := r.replace(addresses("file:///fleet.git", "file:///operator.git")); err != nil {
		t.Fatal(err)
	}
	if err := r.useLabValues(env, "1.28.3"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		"argocd/root.yaml":                    {"repoURL: file:///fleet.git\n"},
		"argocd/projects.yaml":                {"- file:///fleet.git\n", "- file:///operator.git\n"},
		"argocd/apps/operator.yaml":           {"repoURL: file:///operator.git\n", "targetRevision: " + release + "\n", "=" + labImage + "\n"},
		"argocd/apps/member-permissions.yaml": {"repoURL: file:///operator.git\n", "targetRevision: " + release + "\n"},
		"argocd/apps/members.yaml":            {"repoURL: file:///fleet.git\n"},
		"argocd/apps/mesh.yaml":               {"repoURL: file:///fleet.git\n"},
		MeshFile:                              {"  version: 1.28.3\n", "soak: 5s\n", "approval: Required\n"},
		"mesh/kustomization.yaml":             {"- path: lab.yaml\n"},
	} {
		content, err := r.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(content, w) {
				t.Errorf("%s does not contain %q:\n%s", file, w, content)
			}
		}
		for _, address := range []string{fleetAddress, operatorAddress, releaseImage} {
			if strings.Contains(content, address) {
				t.Errorf("%s still contains %q", file, address)
			}
		}
	}
}

func TestWithout(t *testing.T) {
	got, err := without([]byte("kind: ConfigMap\nname: a\n---\nkind: Deployment\n---\n# nothing\n---\nkind: Role\n"), []string{"Deployment"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("---\nkind: ConfigMap\nname: a\n---\nkind: Role\n", string(got)); diff != "" {
		t.Errorf("without() (-want +got):\n%s", diff)
	}
}
