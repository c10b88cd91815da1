package artifacts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// labDir is the lab's directory, seen from this package.
var labDir = filepath.Join("..", "..")

func TestCatalogIsComplete(t *testing.T) {
	for name, r := range catalog {
		for _, need := range r.needs {
			if _, ok := catalog[need]; !ok {
				t.Errorf("%s needs %s, which is not in the catalog", name, need)
			}
		}
		isImage := strings.HasPrefix(string(name), "image-")
		if isImage != (ImageRef(name) != "") {
			t.Errorf("%s has the reference %q", name, ImageRef(name))
		}
	}
	for _, r := range istioReleases {
		if len(envoyWheels[r.envoy]) != 64 {
			t.Errorf("the wheel of Envoy %s for Istio %s has no pinned digest", r.envoy, r.version)
		}
	}
}

func TestImageRef(t *testing.T) {
	want := map[Name]string{
		ImagePause:           "lab.local/pause:1",
		ImageCoreDNS:         "lab.local/coredns:1.12.4",
		ImageCertManager:     "lab.local/cert-manager:v1.21.2",
		ImagePrometheus:      "lab.local/prometheus:v0.315.0",
		ImageOLM:             "lab.local/olm:v0.42.0",
		ImageOPM:             "lab.local/opm:v1.65.0",
		ImageEcho:            "lab.local/echo:1",
		ImageLoad:            "lab.local/load:1",
		ImagePilot("1.29.1"): "lab.local/istio/pilot:1.29.1",
		ImageProxy("1.28.3"): "lab.local/istio/proxyv2:1.28.3",
		ImagePilot("1.30.4"): "lab.local/istio/pilot:1.30.4",
		ImageProxy("1.31.0"): "lab.local/istio/proxyv2:1.31.0",
		Kubernetes:           "",
	}
	for name, ref := range want {
		if got := ImageRef(name); got != ref {
			t.Errorf("ImageRef(%s) = %q, want %q", name, got, ref)
		}
		if got, err := ImageNamed(ref); ref != "" && (got != name || err != nil) {
			t.Errorf("ImageNamed(%s) = %q, %v, want %q", ref, got, err, name)
		}
	}
	for _, ref := range []string{"", "lab.local/none:1"} {
		if got, err := ImageNamed(ref); err == nil {
			t.Errorf("ImageNamed(%q) = %q, want an error", ref, got)
		}
	}
}

// The constants stamp what the modules build: they have to agree.
func TestVersionsMatchModules(t *testing.T) {
	tests := map[string]struct{ module, path, version string }{
		"Kubernetes":   {"kubernetes", "k8s.io/kubernetes", "v" + kubernetesVersion},
		"containerd":   {"containerd", "github.com/containerd/containerd/v2", "v" + containerdVersion},
		"CoreDNS":      {"coredns", "github.com/coredns/coredns", "v" + coreDNSVersion},
		"cert-manager": {"cert-manager", "github.com/cert-manager/cert-manager", "v" + certManagerVersion},
		"Argo CD":      {"argo-cd", "github.com/argoproj/argo-cd/v3", "v" + argoCDVersion},
		"Prometheus":   {"prometheus", "github.com/prometheus/prometheus", "v" + prometheusVersion},
		"OLM":          {"olm", olmModule, "v" + olmVersion},
		"opm":          {"olm", registryModule, "v" + opmVersion},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := required(t, tc.module, tc.path); got != tc.version {
				t.Errorf("module %s requires %s %s, want %s", tc.module, tc.path, got, tc.version)
			}
		})
	}
	seen := map[string]string{}
	for _, r := range istioReleases {
		got := required(t, "istio-"+r.version, "istio.io/istio")
		if other, ok := seen[got]; ok {
			t.Errorf("the modules of Istio %s and %s require the same version %s", other, r.version, got)
		}
		seen[got] = r.version
	}
}

// The lab runs the istiod of the commit whose charts the operator installs.
func TestIstioIsThatOfTheCharts(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(labDir, "..", "charts", "modules.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^(\d\S*) (v\S+) `).FindAllStringSubmatch(string(table), -1)
	charts := map[string]string{}
	for _, line := range lines {
		charts[line[1]] = line[2]
	}
	for _, r := range istioReleases {
		if got := required(t, "istio-"+r.version, "istio.io/istio"); got != charts[r.version] {
			t.Errorf("the module of Istio %s requires %s, its charts are of %q", r.version, got, charts[r.version])
		}
	}
}

func required(t *testing.T, module, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(labDir, "artifacts", module, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^(?:\t|require )` + regexp.QuoteMeta(path) + ` (v\S+)`).FindSubmatch(content)
	if match == nil {
		t.Fatalf("module %s does not require %s", module, path)
	}
	return string(match[1])
}

func TestNew(t *testing.T) {
	b, err := New(labDir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(b.Root) || !filepath.IsAbs(b.CacheDir) {
		t.Errorf("root %q and cache %q are not absolute", b.Root, b.CacheDir)
	}
	b.progress("must not panic without a receiver")
	if _, err := New(t.TempDir(), nil); err == nil {
		t.Error("New() accepted a directory without the modules")
	}
}
