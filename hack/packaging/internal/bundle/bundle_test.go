package bundle

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/operator-framework/api/pkg/apis/scorecard/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

// repository is the root of the repository.
const repository = "../../../.."

func build(t *testing.T, change ...func(*Options)) *Bundle {
	t.Helper()
	b, err := Build(options(change...))
	must(t, err)
	return b
}

func options(change ...func(*Options)) Options {
	o := Options{Root: repository, Version: semver.MustParse("0.1.0"), History: &releases.History{UpgradableFrom: "0.1.0"}}
	for _, c := range change {
		c(&o)
	}
	return o
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func TestBuildIsReproducible(t *testing.T) {
	if diff := cmp.Diff(build(t).Files, build(t).Files); diff != "" {
		t.Errorf("two builds differ:\n%s", diff)
	}
}

func TestFilesOfTheBundle(t *testing.T) {
	got := slices.Sorted(maps.Keys(build(t).Files))
	const role = "_rbac.authorization.k8s.io_v1_clusterrole.yaml"
	want := []string{
		"bundle.Dockerfile",
		"manifests/mesh.meshfleet.io_meshapprovals.yaml",
		"manifests/mesh.meshfleet.io_meshinstallations.yaml",
		"manifests/mesh.meshfleet.io_meshmembers.yaml",
		"manifests/mesh.meshfleet.io_meshupgrades.yaml",
		"manifests/meshfleet-controller-manager-metrics_v1_service.yaml",
		"manifests/meshfleet-controller-manager_policy_v1_poddisruptionbudget.yaml",
		"manifests/meshfleet-meshapproval-approver" + role,
		"manifests/meshfleet-meshinstallation-editor" + role,
		"manifests/meshfleet-meshinstallation-viewer" + role,
		"manifests/meshfleet-meshmember-viewer" + role,
		"manifests/meshfleet-meshupgrade-steering" + role,
		"manifests/meshfleet-meshupgrade-viewer" + role,
		"manifests/meshfleet-metrics-reader" + role,
		"manifests/meshfleet.clusterserviceversion.yaml",
		"metadata/annotations.yaml",
		"tests/scorecard/config.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestManifestsFollowTheInstallation wants no fixed namespace: OLM installs into that of the Subscription.
func TestManifestsFollowTheInstallation(t *testing.T) {
	b := build(t)
	for name, content := range b.Files {
		if !strings.HasPrefix(name, "manifests/") {
			continue
		}
		objects, err := manifests.Parse(content)
		must(t, err)
		if len(objects) != 1 || objects[0].GetNamespace() != "" {
			t.Errorf("%s has %d objects, the first one in the namespace %q", name, len(objects), objects[0].GetNamespace())
		}
	}
}

func TestDeploymentIsThatOfTheInstallationWithoutCertManager(t *testing.T) {
	b := build(t, func(o *Options) { o.Image = "registry.example.com/meshfleet@" + digest("a") })
	deployments := b.CSV.Spec.InstallStrategy.StrategySpec.DeploymentSpecs
	if len(deployments) != 1 || deployments[0].Name != "meshfleet-controller-manager" {
		t.Fatalf("deployments are %+v", deployments)
	}
	pod := deployments[0].Spec.Template.Spec
	if len(pod.Volumes) != 0 || len(pod.Containers) != 1 || len(pod.Containers[0].VolumeMounts) != 0 {
		t.Errorf("volumes are %v, containers %v", pod.Volumes, pod.Containers)
	}
	manager := pod.Containers[0]
	if manager.Image != "registry.example.com/meshfleet@"+digest("a") || b.CSV.Annotations[annotationImage] != manager.Image {
		t.Errorf("image is %s, the annotation has %s", manager.Image, b.CSV.Annotations[annotationImage])
	}
	if !slices.Contains(manager.Args, "--webhook-cert-path="+servingCerts) {
		t.Errorf("the operator reads its certificate from another place than OLM's: %v", manager.Args)
	}
	if pod.SecurityContext.RunAsUser != nil || pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot {
		t.Errorf("security context is %+v", pod.SecurityContext)
	}
	want := []corev1.NodeSelectorRequirement{
		{Key: "kubernetes.io/arch", Operator: "In", Values: []string{"amd64", "arm64"}},
		{Key: "kubernetes.io/os", Operator: "In", Values: []string{"linux"}},
	}
	terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if diff := cmp.Diff(want, terms[0].MatchExpressions); diff != "" {
		t.Errorf("node affinity (-want +got):\n%s", diff)
	}
	if pod.Affinity.PodAntiAffinity == nil {
		t.Error("the replicas may share a node")
	}
}

// TestDefinitionsAreDescribed wants of each kind what the scorecard of operator-sdk wants: a descriptor for each field of spec and status, a
// description, and resources.
func TestDefinitionsAreDescribed(t *testing.T) {
	b := build(t)
	owned := b.CSV.Spec.CustomResourceDefinitions.Owned
	if len(owned) != 4 {
		t.Errorf("%d kinds are owned, want 4", len(owned))
	}
	for _, o := range owned {
		plural, group, _ := strings.Cut(o.Name, ".")
		objects, err := manifests.Parse(b.Files["manifests/"+group+"_"+plural+".yaml"])
		must(t, err)
		definition, err := manifests.Decode[apiextensionsv1.CustomResourceDefinition](objects[0])
		must(t, err)
		spec, status := map[string]bool{}, map[string]bool{}
		for _, d := range o.SpecDescriptors {
			spec[d.Path] = true
			if d.DisplayName == "" || d.Description == "" {
				t.Errorf("%s: the descriptor of spec.%s has no name or no description", o.Kind, d.Path)
			}
		}
		for _, d := range o.StatusDescriptors {
			status[d.Path] = true
			if d.DisplayName == "" || d.Description == "" {
				t.Errorf("%s: the descriptor of status.%s has no name or no description", o.Kind, d.Path)
			}
		}
		properties := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
		for _, part := range []struct {
			name      string
			described map[string]bool
		}{{"spec", spec}, {"status", status}} {
			for name := range properties[part.name].Properties {
				if !part.described[name] {
					t.Errorf("%s: %s.%s has no descriptor", o.Kind, part.name, name)
				}
			}
		}
		if o.Description == "" || o.DisplayName == "" || len(o.Resources) == 0 {
			t.Errorf("%s: description %q, name %q, %d resources", o.Kind, o.Description, o.DisplayName, len(o.Resources))
		}
	}
}

func TestSecretsAreDescribed(t *testing.T) {
	for _, o := range build(t).CSV.Spec.CustomResourceDefinitions.Owned {
		if o.Kind != "MeshInstallation" {
			continue
		}
		got := map[string]string{}
		for _, d := range o.SpecDescriptors {
			if d.XDescriptors != nil {
				got[d.Path] = d.XDescriptors[0]
			}
		}
		for _, path := range []string{"members[0].clusterRef.kubeconfigSecret.name", "charts.pullSecretRef.name"} {
			if got[path] != urnResource+"Secret" {
				t.Errorf("%s has %q", path, got[path])
			}
		}
	}
}

func TestImagesWithoutADigest(t *testing.T) {
	operands := []images.Image{{Name: "istio-pilot-1.29.1", Repository: "docker.io/istio/pilot", Tag: "1.29.1"}}
	withOperands := func(o *Options) { o.Images = operands }
	b := build(t, withOperands)
	if got := fmt.Sprint(b.LeftOut); got != "[meshfleet/meshfleet:dev docker.io/istio/pilot:1.29.1]" {
		t.Errorf("left out are %s", got)
	}
	if len(b.CSV.Spec.RelatedImages) != 0 || b.CSV.Annotations[annotationDisconnected] != "false" {
		t.Errorf("related images are %v, disconnected is %s", b.CSV.Spec.RelatedImages, b.CSV.Annotations[annotationDisconnected])
	}
	_, err := Build(options(withOperands, func(o *Options) { o.Release = true }))
	if err == nil || !strings.Contains(err.Error(), "docker.io/istio/pilot:1.29.1") || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("the error of a release is %v, want both images in it", err)
	}
}

func TestReleasesHaveAllImagesByDigest(t *testing.T) {
	b := build(t, func(o *Options) {
		o.Release, o.Image = true, "registry.example.com/meshfleet:v0.1.0@"+digest("a")
		o.Images = []images.Image{{Name: "istio-pilot-1.29.1", Repository: "docker.io/istio/pilot", Tag: "1.29.1", Digest: digest("b")}}
	})
	got := map[string]string{}
	for _, image := range b.CSV.Spec.RelatedImages {
		got[image.Name] = image.Image
	}
	want := map[string]string{
		"meshfleet": "registry.example.com/meshfleet@" + digest("a"), "istio-pilot-1.29.1": "docker.io/istio/pilot@" + digest("b"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("related images (-want +got):\n%s", diff)
	}
	if b.CSV.Annotations[annotationDisconnected] != "true" {
		t.Errorf("disconnected is %s", b.CSV.Annotations[annotationDisconnected])
	}
}

func TestVersions(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0", Released: []releases.Release{{Version: "0.1.0"}, {Version: "0.2.0-rc.1"}}}
	cases := map[string]struct{ replaces, skipRange, channels, defaultChannel string }{
		"0.2.0-rc.2": {"meshfleet.v0.2.0-rc.1", ">=0.1.0 <0.2.0-rc.2", "candidate", "stable"},
		"0.2.0":      {"meshfleet.v0.1.0", ">=0.1.0 <0.2.0", "candidate,stable", "stable"},
	}
	for version, c := range cases {
		b := build(t, func(o *Options) { o.Version, o.History = semver.MustParse(version), history })
		if b.CSV.Name != "meshfleet.v"+version || b.CSV.Spec.Version.String() != version || b.CSV.Spec.Replaces != c.replaces ||
			b.CSV.Annotations[annotationSkipRange] != c.skipRange {
			t.Errorf("%s: name %s, version %s, replaces %q, range %q", version, b.CSV.Name, b.CSV.Spec.Version, b.CSV.Spec.Replaces,
				b.CSV.Annotations[annotationSkipRange])
		}
		text := string(b.Files["metadata/annotations.yaml"])
		for _, want := range []string{"bundle.channels.v1: " + c.channels + "\n", "bundle.channel.default.v1: " + c.defaultChannel + "\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", version, want, text)
			}
		}
	}
	if first := build(t); first.CSV.Spec.Replaces != "" || first.CSV.Annotations[annotationSkipRange] != "" {
		t.Errorf("the first version replaces %q and skips %q", first.CSV.Spec.Replaces, first.CSV.Annotations[annotationSkipRange])
	}
}

func TestCreatedIsNeverTheTimeOfTheBuild(t *testing.T) {
	if got, has := build(t).CSV.Annotations[annotationCreated]; has {
		t.Errorf("without a time it is %s", got)
	}
	b := build(t, func(o *Options) { o.Created = time.Unix(1767225600, 0) })
	if got := b.CSV.Annotations[annotationCreated]; got != "2026-01-01T00:00:00Z" {
		t.Errorf("it is %s", got)
	}
}

// TestDockerfileHasTheAnnotations compares the labels of the image with the file, which catalogs read.
func TestDockerfileHasTheAnnotations(t *testing.T) {
	b := build(t)
	lines := 0
	for line := range strings.Lines(string(b.Files["metadata/annotations.yaml"])) {
		name, value, isAnnotation := strings.Cut(strings.TrimSpace(line), ": ")
		if !isAnnotation || strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		if !strings.Contains(string(b.Files["bundle.Dockerfile"]), "LABEL "+name+"="+value+"\n") {
			t.Errorf("the Dockerfile has no label %s", name)
		}
	}
	if lines != 8 {
		t.Errorf("%d annotations, want 8", lines)
	}
}

func TestScorecardConfiguration(t *testing.T) {
	objects, err := manifests.Parse(build(t).Files["tests/scorecard/config.yaml"])
	must(t, err)
	config, err := manifests.Decode[v1alpha3.Configuration](objects[0])
	must(t, err)
	if config.APIVersion != v1alpha3.GroupVersion.String() || len(config.Stages) != 1 || len(config.Stages[0].Tests) != 6 {
		t.Errorf("configuration is %+v", config)
	}
	for _, test := range config.Stages[0].Tests {
		if want := test.Entrypoint[1] + "-test"; test.Labels["test"] != want && "olm-"+test.Labels["test"] != want {
			t.Errorf("the test %v has the label %q", test.Entrypoint, test.Labels["test"])
		}
	}
}

func TestWriteRemovesManifestsThatAreGone(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "manifests"), 0o755))
	old := filepath.Join(dir, "manifests", "old_v1_service.yaml")
	must(t, os.WriteFile(old, nil, 0o600))
	b := build(t)
	must(t, b.Write(dir))
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the old manifest is still there: %v", err)
	}
	for name, want := range b.Files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if string(got) != string(want) {
			t.Errorf("%s has another content", name)
		}
	}
}
