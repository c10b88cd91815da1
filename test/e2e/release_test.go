//go:build e2e && packaging

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshfleet/meshfleet/test/guide"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/olm"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	installPage    = "docs/install.md"
	operationsPage = "docs/upgrade-operations.md"
	// chartInGuide and installerInGuide are where the page has the files of a release. The test has them in the reader's directory.
	chartInGuide     = "oci://ghcr.io/meshfleet/charts/meshfleet"
	installerInGuide = "https://github.com/meshfleet/meshfleet/releases/latest/download/install.yaml"
	releasedImage    = "lab.local/meshfleet"
)

// TestRelease follows a newcomer who has the files of a release and the pages, and no sources: the manifests, then Helm, an update under load, the
// handover between two replicas, and the removal.
func TestRelease(t *testing.T) {
	s := newSuite(t, harness.Options{})
	if s.env.IsAttached() {
		t.Fatal("TestRelease needs a lab of its own: unset E2E_ATTACH")
	}
	s.step(t, "bring up the clusters", func() error { return s.env.EnsureLab(t.Context()) })
	former, newer := s.newcomer(t, formerRelease), s.newcomer(t, newerRelease)
	for _, p := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"installed from install.yaml", former.installFromManifests},
		{"mesh", former.mesh},
		{"taken over by Helm", former.takeOver},
		{"updated by Helm under load", newer.update},
		{"handover", newer.handover},
		{"uninstalled by Helm", newer.uninstall},
		{"installed again by Helm", newer.installAgain},
	} {
		if !t.Run(p.name, p.run) {
			t.FailNow()
		}
	}
}

// newcomer is a user who has the files of a release and no source tree.
type newcomer struct {
	*suite
	version string
	desk    *guide.Reader
}

// newcomer makes a release, loads its image into the hub, and gives its files and Helm to a reader.
func (s *suite) newcomer(t *testing.T, version string) *newcomer {
	t.Helper()
	ctx, n, dir := t.Context(), &newcomer{suite: s, version: version}, filepath.Join("bin", "newcomer", version)
	files := filepath.Join(dir, "release")
	s.step(t, "make release "+version, func() error {
		return s.env.Make(ctx, "release", "VERSION="+version, "ALLOW_DIRTY=1", "ALLOW_UNPINNED=1", "RELEASE_IMAGE="+releasedImage,
			"RELEASE_ARCHES="+runtime.GOARCH, "RELEASEDIR="+files, "RELEASEWORK="+filepath.Join(dir, "work"))
	})
	s.step(t, "load the image of "+version, func() error {
		archive := s.env.Path(dir, "image.tar")
		if _, err := olm.Named(s.env.Path(files, "meshfleet-"+version+"-image.tar"), releasedImage, archive); err != nil {
			return err
		}
		return s.env.LoadImage(ctx, archive, harness.HubName)
	})
	s.step(t, "build Helm", func() (err error) {
		program, err := s.env.KubectlPath(ctx)
		if err != nil {
			return err
		}
		helm, err := s.env.BuildHelm(ctx)
		if err != nil {
			return err
		}
		if n.desk, err = guide.NewWithRelease(t.TempDir(), program, s.env.Path(files), s.kubeconfigs(), s.env.Logf); err != nil {
			return err
		}
		return n.desk.AddProgram("helm", fmt.Sprintf("#!/bin/sh\nexec %q --kubeconfig %q \"$@\"\n", helm, n.desk.Kubeconfig(harness.HubName)))
	})
	return n
}

// follow runs one block of a page, with the files of the release in place of their addresses.
func (n *newcomer) follow(ctx context.Context, block string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, guideDeadline)
	defer cancel()
	block = strings.ReplaceAll(block, chartInGuide, "meshfleet-"+n.version+".tgz")
	return n.desk.Run(ctx, strings.ReplaceAll(block, installerInGuide, "install.yaml"))
}

// steps runs blocks of a page, each as a step.
func (n *newcomer) steps(t *testing.T, blocks ...string) {
	t.Helper()
	for _, block := range blocks {
		first, _, _ := strings.Cut(block, "\n")
		n.step(t, first, func() error {
			_, err := n.follow(t.Context(), block)
			return err
		})
	}
}

// installFromManifests follows "kubectl and kustomize".
func (n *newcomer) installFromManifests(t *testing.T) {
	n.steps(t, n.commands(t, installPage, "kubectl and kustomize")...)
	n.step(t, "admission answers", func() error { return n.env.AwaitOperator(t.Context()) })
}

// mesh joins the members with the script of the release and applies the sample of the release with the values that the lab needs.
func (n *newcomer) mesh(t *testing.T) {
	ctx := t.Context()
	for _, m := range n.env.Members() {
		n.steps(t, fmt.Sprintf("./member-kubeconfig.sh --kubeconfig %[2]s > %[1]s.yaml\n"+
			"kubectl -n meshfleet-system create secret generic %[1]s-kubeconfig --from-file=value=%[1]s.yaml", m, n.desk.Kubeconfig(m)))
	}
	n.step(t, "apply the sample", func() error {
		released, err := os.ReadFile(n.env.Path("bin", "newcomer", n.version, "release", "sample.yaml"))
		if err != nil {
			return err
		}
		source, err := os.ReadFile(n.env.Path("config", "samples", "meshinstallation.yaml"))
		if err != nil {
			return err
		}
		if diff := cmp.Diff(string(source), string(released)); diff != "" {
			return fmt.Errorf("the sample of the release is another one (-config +release):\n%s", diff)
		}
		return n.env.ApplyMesh(ctx)
	})
	n.step(t, "wait for the mesh", func() error { return n.waitReady(ctx) })
	n.step(t, "deploy the workloads", func() error { return n.env.DeployWorkloads(ctx) })
	n.step(t, "requests in and across clusters", func() error { return traffic.AcrossClusters(ctx, n.env) })
	n.requireVersion(t)
}

// requireVersion wants the operator of this release to have written the status.
func (n *newcomer) requireVersion(t *testing.T) {
	t.Helper()
	mesh, err := n.env.Installation(t.Context())
	if err != nil || mesh.Status.OperatorVersion != n.version {
		t.Errorf("the status is of the operator %q, want %q, error %v", mesh.Status.OperatorVersion, n.version, err)
	}
}

// takeOver lets Helm take over what came from install.yaml. Nothing else changes.
func (n *newcomer) takeOver(t *testing.T) {
	stored := n.storedObjects(t)
	n.steps(t, n.commands(t, installPage, "Helm")[2])
	n.step(t, "the operator runs", func() error { return n.env.AwaitOperator(t.Context()) })
	n.step(t, "the mesh is ready", func() error { return n.waitReady(t.Context()) })
	if diff := cmp.Diff(stored, n.storedObjects(t)); diff != "" {
		t.Errorf("stored objects (-before +after):\n%s", diff)
	}
}

// update follows "Update", and waits as "Upgrading the operator" does, while requests flow. Nothing in members changes.
func (n *newcomer) update(t *testing.T) {
	wait := n.commands(t, operationsPage, "Upgrading the operator")[0]
	if !strings.Contains(wait, "="+n.version+" ") {
		t.Fatalf("the page does not wait for %s:\n%s", n.version, wait)
	}
	stored, pods := n.storedObjects(t), map[string]map[string]types.UID{}
	for _, m := range n.env.Members() {
		pods[m] = n.istiods(t, m)
	}
	n.underLoad(t, n.env.Members(), loadPerSecond, func() error {
		from := time.Now()
		for _, block := range append(n.commands(t, installPage, "Update"), wait) {
			if _, err := n.follow(t.Context(), block); err != nil {
				return err
			}
		}
		n.env.Logf("  updated after %.0f s", time.Since(from).Seconds())
		return n.waitReady(t.Context())
	})
	n.requireVersion(t)
	if diff := cmp.Diff(stored, n.storedObjects(t)); diff != "" {
		t.Errorf("stored objects (-before +after):\n%s", diff)
	}
	for _, m := range n.env.Members() {
		if diff := cmp.Diff(pods[m], n.istiods(t, m)); diff != "" {
			t.Errorf("%s: istiod and gateway pods (-before +after):\n%s", m, diff)
		}
	}
}

var (
	definition = owned{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "meshinstallations.mesh.meshfleet.io"}
	operator   = owned{"apps/v1", "Deployment", harness.OperatorNamespace, harness.OperatorDeployment}
	rootSecret = owned{"v1", "Secret", harness.OperatorNamespace, harness.MeshName + "-root"}
)

// uninstall follows "Uninstall": the mesh leaves the members, and the definitions, the namespace and the Secrets stay.
func (n *newcomer) uninstall(t *testing.T) {
	ctx := t.Context()
	n.step(t, "the workloads leave the mesh", func() error {
		return n.env.EachMember(func(c *harness.Cluster) error { return c.RemoveSidecars(ctx) })
	})
	n.steps(t, n.commands(t, installPage, "Uninstall")[0])
	n.step(t, "the operator is gone", func() error {
		return harness.Await(ctx, "the operator to be gone", time.Minute, func(ctx context.Context) (bool, string, error) {
			exists, err := n.env.Hub.Exists(ctx, operator.apiVersion, operator.kind, operator.namespace, operator.name)
			return !exists, "it exists", err
		})
	})
	for _, o := range []owned{definition, rootSecret, {"v1", "Secret", harness.OperatorNamespace, harness.KubeconfigSecretName("east")}} {
		requireExists(t, n.env.Hub, o)
	}
	for _, m := range n.env.Members() {
		if left, err := n.env.Owned(ctx, n.env.Cluster(m)); err != nil || len(left) > 0 {
			t.Errorf("%s: the operator has left %v, error %v", m, left, err)
		}
	}
}

// installAgain follows "Helm": the release continues with what has stayed. Then nothing is left of it.
func (n *newcomer) installAgain(t *testing.T) {
	n.steps(t, n.commands(t, installPage, "Helm")[:2]...)
	n.step(t, "admission answers", func() error { return n.env.AwaitOperator(t.Context()) })
	n.steps(t, n.commands(t, installPage, "Uninstall")...)
	requireGone(t, n.env.Hub, definition)
	requireGone(t, n.env.Hub, owned{"v1", "Namespace", "", harness.OperatorNamespace})
}
