package argocd

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// sample has the objects of the Argo CD layout, by their names.
type sample struct {
	projects     map[string]*v1alpha1.AppProject
	applications map[string]*v1alpha1.Application
	sets         map[string]*v1alpha1.ApplicationSet
}

// readSamples reads the objects in the types of Argo CD.
func readSamples(t *testing.T) sample {
	t.Helper()
	s := sample{map[string]*v1alpha1.AppProject{}, map[string]*v1alpha1.Application{}, map[string]*v1alpha1.ApplicationSet{}}
	for _, pattern := range []string{"*.yaml", "apps/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(samples, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%d samples: %v", len(paths), err)
		}
		for _, path := range paths {
			for _, document := range bytes.Split(read(t, path), []byte("\n---\n")) {
				s.add(t, path, document)
			}
		}
	}
	return s
}

func (s sample) add(t *testing.T, path string, document []byte) {
	t.Helper()
	kind := metav1.TypeMeta{}
	if err := yaml.Unmarshal(document, &kind); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if kind.APIVersion != "argoproj.io/v1alpha1" {
		return
	}
	project, app, set := &v1alpha1.AppProject{}, &v1alpha1.Application{}, &v1alpha1.ApplicationSet{}
	into, ok := map[string]metav1.Object{"AppProject": project, "Application": app, "ApplicationSet": set}[kind.Kind]
	if !ok {
		t.Fatalf("%s has the kind %q", path, kind.Kind)
	}
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	switch kind.Kind {
	case "AppProject":
		s.projects[into.GetName()] = project
	case "Application":
		s.applications[into.GetName()] = app
	case "ApplicationSet":
		s.sets[into.GetName()] = set
	}
}

// TestApplications wants every Application to correct what was changed by hand, and to compare by the API server.
func TestApplications(t *testing.T) {
	s := readSamples(t)
	specs := map[string]v1alpha1.ApplicationSpec{}
	annotations := map[string]map[string]string{}
	for name, app := range s.applications {
		specs[name], annotations[name] = app.Spec, app.Annotations
	}
	for name, set := range s.sets {
		specs[name], annotations[name] = set.Spec.Template.Spec, set.Spec.Template.Annotations
		if set.Spec.SyncPolicy == nil || !set.Spec.SyncPolicy.PreserveResourcesOnDeletion {
			t.Errorf("ApplicationSet %s deletes what members need", name)
		}
	}
	for _, name := range []string{"meshfleet", "cert-manager", "meshfleet-operator", "meshfleet-member-permissions", "meshfleet-members", "mesh"} {
		spec, ok := specs[name]
		if !ok {
			t.Errorf("no Application or ApplicationSet %s", name)
			continue
		}
		if annotations[name]["argocd.argoproj.io/compare-options"] != "ServerSideDiff=true" {
			t.Errorf("%s has the annotations %v", name, annotations[name])
		}
		policy := spec.SyncPolicy
		if policy == nil || policy.Automated == nil || !policy.Automated.SelfHeal || !slices.Contains(policy.SyncOptions, "ServerSideApply=true") {
			t.Errorf("%s has the sync policy %v", name, policy)
		}
		if s.projects[spec.Project] == nil {
			t.Errorf("%s is in the project %q, which the samples do not have", name, spec.Project)
		}
		if name == "mesh" && policy != nil && policy.Automated != nil && !policy.Automated.Prune {
			t.Error("Application mesh does not prune")
		}
		checkDirectory(t, name, spec.Source)
	}
}

// checkDirectory wants the directory of a source to exist: in the samples, which are the repository of the platform, or in this repository.
func checkDirectory(t *testing.T, name string, source *v1alpha1.ApplicationSource) {
	t.Helper()
	if source == nil || source.Chart != "" {
		return
	}
	root := filepath.Dir(samples)
	if source.RepoURL == "https://github.com/meshfleet/meshfleet" {
		root = "../.."
	}
	path := source.Path
	if path == "{{.path.path}}" {
		path = "members/east"
	}
	if _, err := os.Stat(filepath.Join(root, path, "kustomization.yaml")); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestWaves wants cert-manager before the operator, and the operator before the mesh.
func TestWaves(t *testing.T) {
	s, last := readSamples(t), ""
	for _, name := range []string{"cert-manager", "meshfleet-operator", "mesh"} {
		app := s.applications[name]
		if app == nil {
			t.Fatalf("no Application %s", name)
		}
		wave := app.Annotations["argocd.argoproj.io/sync-wave"]
		if wave <= last {
			t.Errorf("Application %s has the sync wave %q, the one before it %q", name, wave, last)
		}
		last = wave
	}
}

// TestProjects wants approvals out of reach of the project of the mesh: from Git, and for actions.
func TestProjects(t *testing.T) {
	project := readSamples(t).projects["meshfleet-mesh"]
	if project == nil {
		t.Fatal("no AppProject meshfleet-mesh")
	}
	for kind, want := range map[string]bool{"MeshInstallation": true, "MeshMember": true, "MeshUpgrade": true, "MeshApproval": false} {
		if got := project.IsGroupKindPermitted(schema.GroupKind{Group: "mesh.meshfleet.io", Kind: kind}, true); got != want {
			t.Errorf("%s is permitted: %t, want %t", kind, got, want)
		}
	}
}

// TestHealthOfApplications runs the health check of Applications for which sync waves wait.
func TestHealthOfApplications(t *testing.T) {
	cm := struct {
		Data map[string]string `json:"data"`
	}{}
	if err := yaml.Unmarshal(read(t, filepath.Join(samples, "argocd-cm.yaml")), &cm); err != nil {
		t.Fatal(err)
	}
	script := cm.Data["resource.customizations.health.argoproj.io_Application"]
	for name, c := range map[string]struct{ status, want string }{
		"new":       {`{}`, "Progressing "},
		"suspended": {`{"health": {"status": "Suspended"}}`, "Suspended "},
		"degraded":  {`{"health": {"status": "Degraded", "message": "failed"}}`, "Degraded failed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := healthOf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "status": `+c.status+`}`, script)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(got.Status) + " " + got.Message; text != c.want {
				t.Errorf("health is %q, want %q", text, c.want)
			}
		})
	}
}
