package manifests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// repository is the root of the repository.
const repository = "../../../.."

func TestRenderBuildsTheDefaultInstallation(t *testing.T) {
	objects, err := Render(filepath.Join(repository, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	deployment, err := DecodeOne[appsv1.Deployment](objects, "Deployment")
	if err != nil {
		t.Fatal(err)
	}
	manager, err := Manager(deployment)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(manager.Image, "meshfleet/meshfleet:") {
		t.Errorf("image is %q", manager.Image)
	}
	if port := manager.Ports[len(manager.Ports)-1].ContainerPort; port < 1 {
		t.Errorf("numbers are not kept: container port is %d", port)
	}
	if got := len(OfKind(objects, "CustomResourceDefinition")); got != 4 {
		t.Errorf("%d definitions, want 4", got)
	}
	if got := len(OfKind(objects, "Role", "ClusterRole")); got < 4 {
		t.Errorf("%d roles, want at least 4", got)
	}
}

func TestRenderNamesTheKustomizationThatFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := Render(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want the directory in it", err)
	}
}

func TestReadDirLeavesKustomizationsOut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "kustomization.yaml", "resources: [b.yaml]\n")
	write(t, dir, "b.yaml", "---\n# nothing\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: second}\n")
	write(t, dir, "a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n")
	objects, err := ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range objects {
		names = append(names, u.GetName())
	}
	if diff := cmp.Diff([]string{"first", "second"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestReadDirRefusesAnEmptyDirectory(t *testing.T) {
	if _, err := ReadDir(t.TempDir()); err == nil {
		t.Error("no error")
	}
}

func TestDecodeRefusesUnknownFields(t *testing.T) {
	objects, err := Parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndatas: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode[corev1.ConfigMap](objects[0]); err == nil || !strings.Contains(err.Error(), "datas") {
		t.Errorf("error is %v, want the unknown field in it", err)
	}
}

func TestDecodeOneRefusesSeveral(t *testing.T) {
	objects, err := Parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeOne[corev1.ConfigMap](objects, "ConfigMap"); err == nil || !strings.Contains(err.Error(), "2 objects") {
		t.Errorf("error is %v", err)
	}
	if _, err := DecodeOne[corev1.Secret](objects, "Secret"); err == nil || !strings.Contains(err.Error(), "0 objects") {
		t.Errorf("error is %v", err)
	}
}

func TestParseRefusesFieldsThatAreWrittenTwice(t *testing.T) {
	if _, err := Parse([]byte("apiVersion: v1\nkind: ConfigMap\nkind: Secret\n")); err == nil || !strings.Contains(err.Error(), "kind") {
		t.Errorf("error is %v, want the field in it", err)
	}
}

func TestParseNamesTheDocumentThatIsNoObject(t *testing.T) {
	_, err := Parse([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\nno: kind\n"))
	if err == nil || !strings.Contains(err.Error(), "document 2") {
		t.Errorf("error is %v, want the number of the document in it", err)
	}
}

func TestMarshalLeavesOutWhatHasNoValue(t *testing.T) {
	deployment := &appsv1.Deployment{}
	deployment.APIVersion, deployment.Kind, deployment.Name = "apps/v1", "Deployment", "operator"
	got, err := Marshal(deployment)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"creationTimestamp", "status"} {
		if strings.Contains(string(got), text) {
			t.Errorf("%q is in:\n%s", text, got)
		}
	}
	if !strings.Contains(string(got), "name: operator\n") {
		t.Errorf("the name is missing in:\n%s", got)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
