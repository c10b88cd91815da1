package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// TestHashOfChartsCanBeVerified runs the command that the list of components names.
func TestHashOfChartsCanBeVerified(t *testing.T) {
	o := options(t)
	dir := filepath.Join(o.Charts, "1.29.1", "base")
	want, err := treeSum(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", hashCommand)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(string(out))[0]; got != want {
		t.Errorf("the command prints %s, the list has %s", got, want)
	}
}

// playedKubectl grants a token of an hour and keeps what is applied.
const playedKubectl = `#!/usr/bin/env bash
case "$*" in
*" apply "*) cat > "$APPLIED" ;;
*"create token"*) echo eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3NjcyMjkyMDAsImlhdCI6MTc2NzIyNTYwMH0.c2ln ;;
*"cluster.server}"*) printf https://203.0.113.7:6443 ;;
*kustomize*) echo "a release has no kustomization" >&2; exit 1 ;;
esac
`

// TestMemberScriptWorksWithoutTheSources runs the script of a release in a directory that has nothing but the release.
func TestMemberScriptWorksWithoutTheSources(t *testing.T) {
	o := options(t)
	_, files := written(t, o, Artefacts())
	dir := t.TempDir()
	kubectl, applied := filepath.Join(dir, "kubectl"), filepath.Join(dir, "applied.yaml")
	if err := os.WriteFile(kubectl, []byte(playedKubectl), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "admin.yaml"), "{}")
	cmd := exec.Command(filepath.Join(o.Output, "member-kubeconfig.sh"), "--kubeconfig", filepath.Join(dir, "admin.yaml"), "--duration", "1h", "--namespace", "mesh")
	cmd.Env = append(os.Environ(), "KUBECTL="+kubectl, "APPLIED="+applied)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "token: eyJ") {
		t.Errorf("no kubeconfig:\n%s", out)
	}
	got, err := os.ReadFile(applied)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(string(files["member-rbac.yaml"]), "\n  namespace: istio-system\n", "\n  namespace: mesh\n")
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	objects, err := manifests.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(manifests.OfKind(objects, "ServiceAccount")) != 1 {
		t.Error("the member gets no ServiceAccount")
	}
}
