package chart

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/image/writer"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// Name is the name of the chart.
const Name = "meshfleet"

// developmentVersion is the version of the chart in the tree, which is installed from its directory only.
const developmentVersion = "0.0.0-dev"

// Release tells of which release of the operator a chart is. The zero value is the chart in the tree.
type Release struct {
	// Version is the version of the chart and of the operator in it. Default: that of a chart which is not released, with the image of
	// config/manager.
	Version string
	// Repository is the name of the operator's image without tag and digest. Default: that of config/manager.
	Repository string
	// Digest is the digest of the operator's image: sha256:… . Default: none, the image is named by its tag.
	Digest string
}

// Sources are the objects that become templates.
type Sources []*unstructured.Unstructured

// Read builds the kustomizations of a repository that the chart consists of.
func Read(repository string) (Sources, error) {
	var all Sources
	for _, dir := range []string{"default", "prometheus", "network-policy"} {
		objects, err := manifests.Render(filepath.Join(repository, "config", dir))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

// static are the files that do not depend on config.
//
//go:embed static
var static embed.FS

// staticFiles are the embedded files, and where the chart has them.
var staticFiles = map[string]string{
	"static/helpers.tpl": "templates/_helpers.tpl",
	"static/NOTES.txt":   "templates/NOTES.txt",
	"static/helmignore":  ".helmignore",
}

// Files returns the files of the chart by their paths, which are separated by slashes.
func Files(sources Sources, release Release) (map[string][]byte, error) {
	config, err := readConfig(sources)
	if err != nil {
		return nil, err
	}
	values := table(config, release)
	files := map[string][]byte{}
	for from, to := range staticFiles {
		if files[to], err = static.ReadFile(from); err != nil {
			return nil, err
		}
	}
	if files["Chart.yaml"], err = chartYAML(config, release); err != nil {
		return nil, err
	}
	if files["values.yaml"], err = valuesYAML(values); err != nil {
		return nil, err
	}
	if files["values.schema.json"], err = valuesSchema(values); err != nil {
		return nil, err
	}
	if files["README.md"], err = readme(values); err != nil {
		return nil, err
	}
	for _, u := range sources {
		if err := addTemplate(files, u); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addTemplate adds the template of an object.
func addTemplate(files map[string][]byte, u *unstructured.Unstructured) error {
	// The release has a namespace: `helm install --create-namespace` creates it.
	if u.GetKind() == "Namespace" {
		return nil
	}
	where, err := placeOf(u)
	if err != nil {
		return err
	}
	if _, taken := files[where.path]; taken {
		return fmt.Errorf("%s %q: the chart has a file %s already", u.GetKind(), u.GetName(), where.path)
	}
	content, err := templateOf(u, where.guard)
	if err != nil {
		return fmt.Errorf("%s %q: %w", u.GetKind(), u.GetName(), err)
	}
	files[where.path] = []byte(content)
	return nil
}

// Write replaces the chart in a directory. Templates that are not among the files are deleted.
func Write(dir string, files map[string][]byte) error {
	if err := os.RemoveAll(filepath.Join(dir, "templates")); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Package returns the chart as an archive, as `helm package` makes it, but without times: the same files give the same bytes.
func Package(files map[string][]byte) ([]byte, error) {
	var entries []writer.File
	for name, content := range files {
		entries = append(entries, writer.File{Path: path.Join("/", Name, name), Mode: 0o644, Content: content})
	}
	return writer.Package(entries)
}

// config is what the values take from the manifests.
type config struct {
	deployment *appsv1.Deployment
	container  *corev1.Container
	// repository and tag are those of the operator's image.
	repository, tag string
	// metricsFrom are the sources that the NetworkPolicy allows to read the metrics.
	metricsFrom []any
}

func readConfig(sources Sources) (config, error) {
	var c config
	var err error
	if c.deployment, err = manifests.DecodeOne[appsv1.Deployment](sources, "Deployment"); err != nil {
		return c, err
	}
	if c.container, err = manifests.Manager(c.deployment); err != nil {
		return c, err
	}
	var ok bool
	if c.repository, c.tag, ok = strings.Cut(c.container.Image, ":"); !ok {
		return c, fmt.Errorf("the image %q of config/manager has no tag", c.container.Image)
	}
	policies := manifests.OfKind(sources, "NetworkPolicy")
	if len(policies) != 1 {
		return c, fmt.Errorf("config/network-policy has %d NetworkPolicies, want 1", len(policies))
	}
	rules, index, err := metricsRule(policies[0].Object)
	if err != nil {
		return c, err
	}
	if c.metricsFrom, ok = rules[index].(map[string]any)["from"].([]any); !ok {
		return c, errors.New("the NetworkPolicy does not limit who reads the metrics")
	}
	return c, nil
}
