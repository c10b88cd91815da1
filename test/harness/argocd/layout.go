package argocd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// Sample is the layout that the repository of the platform is a copy of.
	Sample = "config/samples/gitops"
	// MeshFile has the MeshInstallation.
	MeshFile = "mesh/meshinstallation.yaml"
	// ValuesFile has the lab's values of it.
	ValuesFile = "mesh/lab.yaml"
	// release is the release of the operator that the sample names, and releaseImage its image.
	release      = "v0.1.0"
	releaseImage = "registry.example.com/meshfleet/meshfleet:v0.1.0"
	// labImage is the image that the lab has loaded.
	labImage = "meshfleet/meshfleet:dev"

	certManager = "cert-manager"
	// certManagerManifest is how the lab runs cert-manager.
	certManagerManifest = "hack/lab/internal/cluster/addons/cert-manager.yaml"
)

// Addresses in the sample.
const (
	fleetAddress    = "https://git.example.com/platform/fleet.git"
	operatorAddress = "https://github.com/meshfleet/meshfleet"
)

// versionLine is the line of the MeshInstallation that the guide changes.
var versionLine = regexp.MustCompile(`(?m)^  version: .*$`)

// NewFleet makes the two repositories of the sample below a directory: that of the operator, with its release, and that of the platform,
// which it returns. The mesh in it has the version given.
func NewFleet(ctx context.Context, env *harness.Env, dir, version string) (*Repository, error) {
	operator, err := NewRepository(ctx, dir, "operator")
	if err != nil {
		return nil, err
	}
	if err := operator.Copy(env.Path("config"), "config"); err != nil {
		return nil, err
	}
	if _, err := operator.Commit(ctx, "Release "+release); err != nil {
		return nil, err
	}
	if err := operator.Tag(ctx, release); err != nil {
		return nil, err
	}
	fleet, err := NewRepository(ctx, dir, "fleet")
	if err != nil {
		return nil, err
	}
	if err := fleet.Copy(env.Path(Sample), "."); err != nil {
		return nil, err
	}
	if err := fleet.replace(addresses(fleet.URL(), operator.URL())); err != nil {
		return nil, err
	}
	if err := errors.Join(fleet.useLabValues(env, version), fleet.useLabCertManager(ctx, env)); err != nil {
		return nil, err
	}
	_, err = fleet.Commit(ctx, "Install the mesh")
	return fleet, err
}

// addresses replaces the addresses of the sample.
func addresses(fleet, operator string) *strings.Replacer {
	return strings.NewReplacer(fleetAddress, fleet, operatorAddress, operator, releaseImage, labImage)
}

// replace replaces texts in all files.
func (r *Repository) replace(texts *strings.Replacer) error {
	return filepath.WalkDir(r.tree, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("replace addresses: %w", err)
		}
		return os.WriteFile(path, []byte(texts.Replace(string(content))), 0o600)
	})
}

// useLabValues gives the mesh the values of the lab, and waves that are short enough for a test.
func (r *Repository) useLabValues(env *harness.Env, version string) error {
	values, err := os.ReadFile(env.Path(harness.MeshOverlay, "values.yaml"))
	if err != nil {
		return fmt.Errorf("read the values of the lab: %w", err)
	}
	return errors.Join(
		r.Write(ValuesFile, string(values)),
		r.Edit("mesh/kustomization.yaml", func(s string) string { return s + "patches:\n- path: " + filepath.Base(ValuesFile) + "\n" }),
		r.SetVersion(version),
		r.Edit(MeshFile, func(s string) string {
			return strings.Replace(s, "      soak: 10m\n", "      soak: 5s\n      progressDeadline: 90s\n", 1)
		}),
	)
}

// SetVersion changes the version of the mesh in the working tree.
func (r *Repository) SetVersion(version string) error {
	return r.Edit(MeshFile, func(s string) string { return versionLine.ReplaceAllString(s, "  version: "+version) })
}

// useLabCertManager replaces the chart of cert-manager, which the lab cannot reach, by the manifests with which the lab runs it. The lab
// has the definitions and the image already.
func (r *Repository) useLabCertManager(ctx context.Context, env *harness.Env) error {
	running := &appsv1.Deployment{}
	if err := env.Hub.Client.Get(ctx, client.ObjectKey{Namespace: certManager, Name: certManager}, running); err != nil {
		return fmt.Errorf("get the cert-manager of the lab: %w", err)
	}
	template, err := os.ReadFile(env.Path(certManagerManifest))
	if err != nil {
		return fmt.Errorf("read the manifests of cert-manager: %w", err)
	}
	manifest, err := harness.Render(string(template), map[string]string{"Image": running.Spec.Template.Spec.Containers[0].Image})
	if err != nil {
		return err
	}
	return errors.Join(
		r.Write(certManager+"/manifests.yaml", manifest),
		r.Edit("argocd/apps/cert-manager.yaml", func(s string) string {
			before, rest, _ := strings.Cut(s, "  source:\n")
			_, after, _ := strings.Cut(rest, "  destination:\n")
			source := fmt.Sprintf("  source:\n    repoURL: %s\n    targetRevision: %s\n    path: %s\n", r.URL(), branch, certManager)
			return before + source + "  destination:\n" + after
		}),
	)
}

// RemoveCertManager takes the lab's cert-manager away, so that the first wave of the sample has something to install.
func RemoveCertManager(ctx context.Context, env *harness.Env) error {
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = certManager, certManager
	if err := env.Hub.Client.Delete(ctx, d, client.PropagationPolicy("Foreground")); err != nil {
		return fmt.Errorf("remove the cert-manager of the lab: %w", err)
	}
	return harness.Await(ctx, "cert-manager to be gone", startDeadline, func(ctx context.Context) (bool, string, error) {
		exists, err := env.Hub.Exists(ctx, "apps/v1", "Deployment", certManager, certManager)
		return err == nil && !exists, "it still exists", err
	})
}
