package chart

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/release"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// chartLabels are the labels that only the chart sets.
var chartLabels = []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"}

// withoutDifferences removes what differs between the chart and config/default on purpose: the labels of the chart, and the annotation by
// which Helm keeps CRDs. It fails if an object does not have them.
func withoutDifferences(t *testing.T, name string, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	u = u.DeepCopy()
	labels := u.GetLabels()
	for _, label := range chartLabels {
		if labels[label] == "" {
			t.Errorf("%s has no label %s", name, label)
		}
		delete(labels, label)
	}
	if u.SetLabels(labels); len(labels) == 0 {
		u.SetLabels(nil)
	}
	if u.GetKind() == "CustomResourceDefinition" {
		annotations := u.GetAnnotations()
		if annotations["helm.sh/resource-policy"] != "keep" {
			t.Errorf("Helm would delete %s with the release", name)
		}
		delete(annotations, "helm.sh/resource-policy")
		u.SetAnnotations(annotations)
	}
	return u
}

func TestDefaultsEqualConfigDefault(t *testing.T) {
	objects, err := manifests.Render(filepath.Join(repository, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	want := byName(t, objects)
	// `helm install --create-namespace` creates it.
	delete(want, "Namespace meshfleet-system")
	got := standard(t).objects(t)
	for name, u := range got {
		if want[name] == nil {
			t.Errorf("the chart has %s, config/default does not", name)
			continue
		}
		if diff := cmp.Diff(want[name].Object, withoutDifferences(t, name, u).Object); diff != "" {
			t.Errorf("%s (-config/default +chart):\n%s", name, diff)
		}
	}
	for name := range want {
		if got[name] == nil {
			t.Errorf("config/default has %s, the chart does not", name)
		}
	}
}

func TestLintFindsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), Name)
	if err := Write(dir, filesOf(t, Release{})); err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string]map[string]any{
		"defaults": {},
		"everything": {
			"metrics": map[string]any{
				"serviceMonitor": map[string]any{"enable": true, "interval": "30s"}, "prometheusRule": map[string]any{"enable": true},
			},
			"networkPolicy": map[string]any{"enable": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, message := range lint.All(dir, values, "meshfleet-system", true).Messages {
				t.Error(message)
			}
		})
	}
}

// TestOptionsGiveValidObjects decodes what many options give as the types of Kubernetes. A field at a wrong place is an error.
func TestOptionsGiveValidObjects(t *testing.T) {
	objects := standard(t).objects(t, everyOption)
	checks := map[string]func(*unstructured.Unstructured) error{
		"Deployment":                     strict[appsv1.Deployment],
		"PodDisruptionBudget":            strict[policyv1.PodDisruptionBudget],
		"Service":                        strict[corev1.Service],
		"ServiceAccount":                 strict[corev1.ServiceAccount],
		"Role":                           strict[rbacv1.Role],
		"RoleBinding":                    strict[rbacv1.RoleBinding],
		"ClusterRole":                    strict[rbacv1.ClusterRole],
		"ClusterRoleBinding":             strict[rbacv1.ClusterRoleBinding],
		"NetworkPolicy":                  strict[networkingv1.NetworkPolicy],
		"MutatingWebhookConfiguration":   strict[admissionregistrationv1.MutatingWebhookConfiguration],
		"ValidatingWebhookConfiguration": strict[admissionregistrationv1.ValidatingWebhookConfiguration],
	}
	seen := map[string]bool{}
	for name, u := range objects {
		if check := checks[u.GetKind()]; check != nil {
			seen[u.GetKind()] = true
			if err := check(u); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for kind := range checks {
		if !seen[kind] {
			t.Errorf("the chart has no %s", kind)
		}
	}
}

func strict[T any](u *unstructured.Unstructured) error {
	_, err := manifests.Decode[T](u)
	return err
}

func TestHighAvailability(t *testing.T) {
	objects := standard(t).objects(t, "manager: {replicas: 2}")
	deployment, err := manifests.Decode[appsv1.Deployment](objects["Deployment meshfleet-controller-manager"])
	if err != nil {
		t.Fatal(err)
	}
	container, err := manifests.Manager(deployment)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(container.Args, "--leader-elect") {
		t.Errorf("two replicas would both work: the arguments are %v", container.Args)
	}
	pod := deployment.Spec.Template
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.PodAntiAffinity == nil {
		t.Error("both replicas may be on one node")
	}
	budget, err := manifests.Decode[policyv1.PodDisruptionBudget](objects["PodDisruptionBudget meshfleet-controller-manager"])
	if err != nil {
		t.Fatal(err)
	}
	if budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("%s replicas may be evicted at once, want 1", budget.Spec.MaxUnavailable)
	}
	for label, value := range budget.Spec.Selector.MatchLabels {
		if pod.Labels[label] != value {
			t.Errorf("the budget selects %s=%s, the pods have %q", label, value, pod.Labels[label])
		}
	}
}

// TestNamesDoNotDependOnTheRelease wants a second release to be refused by Helm: its objects belong to the first one.
func TestNamesDoNotDependOnTheRelease(t *testing.T) {
	first := standard(t)
	second := renderer{chart: first.chart, name: "other", namespace: "elsewhere"}
	before, after := first.objects(t, everyOption), second.objects(t, everyOption)
	clusterWide := 0
	for name, u := range after {
		if before[name] == nil {
			t.Errorf("%s has another name in another release", name)
		}
		if u.GetNamespace() == "" {
			clusterWide++
		} else if u.GetNamespace() != "elsewhere" {
			t.Errorf("%s is in the namespace %s", name, u.GetNamespace())
		}
		content, err := json.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		// Descriptions in CRDs may have the usual namespace as an example.
		if u.GetKind() != "CustomResourceDefinition" && bytes.Contains(content, []byte("meshfleet-system")) {
			t.Errorf("%s refers to meshfleet-system: %s", name, content)
		}
	}
	if clusterWide == 0 {
		t.Error("the chart has no cluster-wide object: two releases would not be noticed")
	}
}

func TestNamespaceMayBeANumber(t *testing.T) {
	r := standard(t)
	r.namespace = "2024"
	for name, u := range r.objects(t) {
		if namespace, found, err := unstructured.NestedString(u.Object, "metadata", "namespace"); err != nil || (found && namespace != "2024") {
			t.Errorf("%s: namespace %q, error %v", name, namespace, err)
		}
	}
}

// TestAlertsKeepTheirTemplates wants expressions of Prometheus to come out as they are in config.
func TestAlertsKeepTheirTemplates(t *testing.T) {
	objects, err := manifests.Render(filepath.Join(repository, "config", "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	got := standard(t).objects(t, "metrics: {prometheusRule: {enable: true}, serviceMonitor: {enable: true}}")
	for name, u := range byName(t, objects) {
		if got[name] == nil {
			t.Fatalf("the chart has no %s", name)
		}
		if diff := cmp.Diff(u.Object["spec"], got[name].Object["spec"]); diff != "" {
			t.Errorf("%s (-config/prometheus +chart):\n%s", name, diff)
		}
	}
}

// TestMonitoringIsDocumented wants docs/metrics.md to show what config/prometheus has.
func TestMonitoringIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Render(filepath.Join(repository, "config", "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := 0
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		shown := block[1]
		if bytes.HasPrefix(shown, []byte("groups:")) {
			shown = append([]byte("kind: PrometheusRule\napiVersion: v1\nspec:\n"), indented(shown)...)
		}
		documented, err := manifests.Parse(shown)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range manifests.OfKind(objects, documented[0].GetKind()) {
			kinds++
			if diff := cmp.Diff(u.Object["spec"], documented[0].Object["spec"]); diff != "" {
				t.Errorf("%s (-config/prometheus +docs/metrics.md):\n%s", u.GetKind(), diff)
			}
		}
	}
	if kinds != len(objects) {
		t.Errorf("docs/metrics.md shows %d of the %d objects of config/prometheus", kinds, len(objects))
	}
}

func indented(text []byte) []byte {
	return regexp.MustCompile(`(?m)^(.)`).ReplaceAll(text, []byte("  $1"))
}

func TestChartOfARelease(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	release := Release{Version: "1.2.3", Repository: "registry.example.com/meshfleet", Digest: digest}
	r := renderer{chart: load(t, filesOf(t, release)), name: "meshfleet", namespace: "meshfleet-system"}
	if r.chart.Metadata.Version != "1.2.3" || r.chart.Metadata.AppVersion != "1.2.3" {
		t.Errorf("version %s, appVersion %s", r.chart.Metadata.Version, r.chart.Metadata.AppVersion)
	}
	for values, want := range map[string]string{
		"":                                       "registry.example.com/meshfleet@" + digest,
		"manager: {image: {tag: x}}":             "registry.example.com/meshfleet@" + digest,
		`manager: {image: {digest: ""}}`:         "registry.example.com/meshfleet:1.2.3",
		`manager: {image: {digest: "", tag: x}}`: "registry.example.com/meshfleet:x",
	} {
		deployment, err := manifests.Decode[appsv1.Deployment](r.objects(t, values)["Deployment meshfleet-controller-manager"])
		if err != nil {
			t.Fatal(err)
		}
		if container, err := manifests.Manager(deployment); err != nil || container.Image != want {
			t.Errorf("with %q the image is %q, error %v, want %q", values, container.Image, err, want)
		}
	}
}

// TestPackage wants the same bytes from the same files, and an archive that Helm reads.
func TestPackage(t *testing.T) {
	files := filesOf(t, Release{Version: "1.2.3"})
	first, err := Package(files)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Package(filesOf(t, Release{Version: "1.2.3"}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two archives of the same chart differ")
	}
	c, err := loader.LoadArchive(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if c.Metadata.Version != "1.2.3" || len(c.Templates) == 0 {
		t.Errorf("version %s with %d templates", c.Metadata.Version, len(c.Templates))
	}
	if len(c.Raw) != len(files) {
		t.Errorf("the archive has %d files, the chart %d", len(c.Raw), len(files))
	}
}

// TestReleaseFitsIntoASecret makes what Helm stores of a release. A Secret holds 1 MiB.
func TestReleaseFitsIntoASecret(t *testing.T) {
	r := standard(t)
	text, err := r.text(everyOption)
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(release.Release{Name: r.name, Chart: r.chart, Manifest: text})
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(record); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const limit = 1 << 20
	if size := zipped.Len() * 4 / 3; size > limit/2 {
		t.Errorf("a release needs %d bytes of %d: upgrades of Helm releases are near their limit", size, limit)
	}
}

// TestSubchart wants the chart to accept what Helm gives to subcharts.
func TestSubchart(t *testing.T) {
	parent := &helmchart.Chart{Metadata: &helmchart.Metadata{APIVersion: "v2", Name: "platform", Version: "1.0.0"}}
	parent.AddDependency(load(t, filesOf(t, Release{})))
	r := renderer{chart: parent, name: "platform", namespace: "meshfleet-system"}
	text, err := r.text("global: {region: eu}", "meshfleet: {manager: {replicas: 3}}")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "replicas: 3") {
		t.Error("the value of the parent has no effect")
	}
}

// TestChartInTheTreeIsCurrent compares the tree with what `make chart` writes.
func TestChartInTheTreeIsCurrent(t *testing.T) {
	root := filepath.Join(repository, "dist", "chart")
	files := filesOf(t, Release{})
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(string(got), string(want)); diff != "" {
			t.Errorf("%s: run `make chart` (-tree +generated):\n%s", name, diff)
		}
	}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err == nil && files[filepath.ToSlash(name)] == nil {
			t.Errorf("%s is not generated: delete it", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWriteDeletesOldTemplates(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, map[string][]byte{"Chart.yaml": nil, "templates/old.yaml": nil}); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, map[string][]byte{"Chart.yaml": nil, "templates/new.yaml": nil}); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "templates", "*"))
	if err != nil || len(names) != 1 || filepath.Base(names[0]) != "new.yaml" {
		t.Errorf("templates %v, error %v, want only new.yaml", names, err)
	}
}
