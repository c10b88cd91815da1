package release

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/chart"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// Installer returns the manifests of config/default with an image of the operator, in an order in which they can be applied.
func Installer(repository, image string) ([]byte, error) {
	objects, err := manifests.Render(filepath.Join(repository, "config", "default"))
	if err != nil {
		return nil, err
	}
	found := false
	for i, u := range objects {
		if u.GetKind() != "Deployment" {
			continue
		}
		if objects[i], err = withImage(u, image); err != nil {
			return nil, err
		}
		found = true
	}
	if !found {
		return nil, fmt.Errorf("config/default has no Deployment")
	}
	return documents(objects)
}

func withImage(u *unstructured.Unstructured, image string) (*unstructured.Unstructured, error) {
	deployment, err := manifests.Decode[appsv1.Deployment](u)
	if err != nil {
		return nil, err
	}
	container, err := manifests.Manager(deployment)
	if err != nil {
		return nil, err
	}
	container.Image = image
	content, err := manifests.Marshal(deployment)
	if err != nil {
		return nil, err
	}
	changed, err := manifests.Parse(content)
	if err != nil {
		return nil, err
	}
	return changed[0], nil
}

// ranks are the kinds that others need, and those that need others.
var ranks = map[string]int{
	"Namespace": -3, "CustomResourceDefinition": -2, "ServiceAccount": -1,
	"Deployment": 1, "Issuer": 2, "Certificate": 3, "MutatingWebhookConfiguration": 4, "ValidatingWebhookConfiguration": 4,
}

// documents returns objects as one YAML file.
func documents(objects []*unstructured.Unstructured) ([]byte, error) {
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b *unstructured.Unstructured) int { return cmp.Compare(ranks[a.GetKind()], ranks[b.GetKind()]) })
	var out bytes.Buffer
	for n, u := range sorted {
		content, err := manifests.Marshal(u)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", u.GetKind(), u.GetName(), err)
		}
		if n > 0 {
			out.WriteString("---\n")
		}
		out.Write(content)
	}
	return out.Bytes(), nil
}

// manifestFiles adds the installation without tools, what a hub that is a member needs, and the sample.
func manifestFiles(r *Release) error {
	installer, err := Installer(r.Repository, r.Reference())
	if err != nil {
		return err
	}
	if err := r.Add("install.yaml", installer, 0o644); err != nil {
		return err
	}
	if err := r.addKustomization("local-member.yaml", "local-member"); err != nil {
		return err
	}
	sample, err := os.ReadFile(filepath.Join(r.Repository, "config", "samples", "meshinstallation.yaml"))
	if err != nil {
		return err
	}
	return r.Add("sample.yaml", sample, 0o644)
}

// memberFiles adds the permissions that a member needs, and the script that makes the credential of a member with them.
func memberFiles(r *Release) error {
	if err := r.addKustomization("member-rbac.yaml", "member-rbac"); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(r.Repository, "hack", "member-kubeconfig.sh"))
	if err != nil {
		return err
	}
	return r.Add("member-kubeconfig.sh", script, 0o755)
}

func (r *Release) addKustomization(name, dir string) error {
	objects, err := manifests.Render(filepath.Join(r.Repository, "config", dir))
	if err != nil {
		return err
	}
	content, err := documents(objects)
	if err != nil {
		return err
	}
	return r.Add(name, content, 0o644)
}

// helmChart adds the chart as an archive.
func helmChart(r *Release) error {
	sources, err := chart.Read(r.Repository)
	if err != nil {
		return err
	}
	files, err := chart.Files(sources, chart.Release{Version: r.Version, Repository: r.Image, Digest: r.Digest})
	if err != nil {
		return err
	}
	archive, err := chart.Package(files)
	if err != nil {
		return err
	}
	return r.Add(fmt.Sprintf("%s-%s.tgz", chart.Name, r.Version), archive, 0o644)
}
