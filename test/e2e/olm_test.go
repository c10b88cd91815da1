//go:build e2e && packaging

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshfleet/meshfleet/test/guide"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/olm"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	olmPage = "docs/install-operatorhub.md"
	// catalogInGuide is the image of the catalog in the page. The test has another, by digest.
	catalogInGuide = "registry.example.com/meshfleet-catalog:v"
	// opmImage is the lab's image that catalogs are made of.
	opmImage = "lab.local/opm:v1.65.0"

	formerRelease, newerRelease = "0.1.0", "0.2.0"

	// guideDeadline is above the sum of the deadlines in a block of the page.
	guideDeadline = 16 * time.Minute
)

// release is a version of the operator whose images the hub has.
type release struct {
	version string
	// dir has the bundle, below the root of the repository.
	dir string
	// operator, bundle and catalog are images by digest.
	operator, bundle, catalog string
}

// csv is the name of its ClusterServiceVersion.
func (r release) csv() string { return "meshfleet.v" + r.version }

// TestOLM follows an operator that OLM installs from a catalog, by the commands of the page: it waits for cert-manager, joins two members,
// is updated under load, and is uninstalled.
func TestOLM(t *testing.T) {
	s := newSuite(t, harness.Options{})
	s.step(t, "Bring up the clusters, the hub with OLM and without cert-manager", func() error {
		return s.env.EnsureLabWith(t.Context(), "--olm-on", harness.HubName)
	})
	var former, newer release
	for _, p := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"waits for cert-manager", func(t *testing.T) {
			former = s.publish(t, formerRelease)
			s.waitsForCertManager(t, former)
		}},
		{"installed by OLM", func(t *testing.T) { s.installedByOLM(t, former) }},
		{"mesh", s.meshByOLM},
		{"admission", s.admission},
		{"differences from the other installations", s.differencesOfOLM},
		{"updated under load", func(t *testing.T) {
			newer = s.publish(t, newerRelease, former)
			s.updatedByOLM(t, newer)
		}},
		{"uninstalled by the guide", func(t *testing.T) { s.uninstalledFromOLM(t, newer) }},
	} {
		if !t.Run(p.name, p.run) {
			t.FailNow()
		}
	}
}

// publish makes a version, with a catalog that has it and the earlier ones, and loads its images into the hub. The programs of all versions are
// the same.
func (s *suite) publish(t *testing.T, version string, earlier ...release) release {
	t.Helper()
	ctx, r := t.Context(), release{version: version, dir: filepath.Join("bin", "olm", version)}
	bundle := filepath.Join(r.dir, "bundle")
	s.step(t, "publish "+version, func() error {
		image, err := olm.Operator(s.env.Path("bin", "meshfleet.tar"), "org.opencontainers.image.version", version)
		if err != nil {
			return err
		}
		if r.operator, err = s.importImage(ctx, image, "lab.local/meshfleet", filepath.Join(r.dir, "operator.tar")); err != nil {
			return err
		}
		settings := []string{"VERSION=" + version, "OUT=" + r.dir, "BUNDLEFLAGS=--image " + r.operator}
		if err := s.env.Make(ctx, append([]string{"bundle"}, settings...)...); err != nil {
			return err
		}
		if image, err = olm.Bundle(s.env.Path(bundle)); err != nil {
			return err
		}
		if r.bundle, err = s.importImage(ctx, image, "lab.local/meshfleet-bundle", filepath.Join(r.dir, "bundle.tar")); err != nil {
			return err
		}
		var others []string
		for _, e := range earlier {
			others = append(others, "--bundle "+s.env.Path(e.dir, "bundle")+"="+e.bundle)
		}
		settings = append(settings, "BUNDLE_IMAGE="+r.bundle, "CATALOGFLAGS="+strings.Join(others, " "))
		if err := s.env.Make(ctx, append([]string{"catalog"}, settings...)...); err != nil {
			return err
		}
		opm, err := s.env.LabImage(ctx, opmImage)
		if err != nil {
			return err
		}
		if image, err = olm.Catalog(opm, s.env.Path("bin", "catalog")); err != nil {
			return err
		}
		r.catalog, err = s.importImage(ctx, image, "lab.local/meshfleet-catalog", filepath.Join(r.dir, "catalog.tar"))
		return err
	})
	return r
}

// importImage loads an image into the hub and returns its reference by digest.
func (s *suite) importImage(ctx context.Context, image v1.Image, repository, archive string) (string, error) {
	ref, err := olm.Write(image, repository, s.env.Path(archive))
	if err != nil {
		return "", err
	}
	return ref, s.env.LoadImage(ctx, s.env.Path(archive), harness.HubName)
}

// follow runs one block of the page, with the version's catalog in place of the one in the page.
func (s *suite) follow(ctx context.Context, desk *guide.Reader, block string, r release) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, guideDeadline)
	defer cancel()
	return desk.Run(ctx, strings.ReplaceAll(block, catalogInGuide+r.version, r.catalog))
}

// waitsForCertManager follows the page on a hub without cert-manager: OLM installs nothing and names what is missing.
func (s *suite) waitsForCertManager(t *testing.T, r release) {
	ctx, desk, install := t.Context(), s.reader(t), s.commands(t, olmPage, "Install")
	if !strings.Contains(install[0], catalogInGuide+r.version) {
		t.Fatalf("the page does not name the catalog %s%s", catalogInGuide, r.version)
	}
	for i, what := range []string{"subscribe", "approve the InstallPlan"} {
		s.step(t, what, func() error {
			_, err := s.follow(ctx, desk, install[i], r)
			return err
		})
	}
	s.step(t, "the version waits", func() error {
		return s.awaitVersion(ctx, r.csv(), func(v clusterServiceVersion) bool {
			return v.Status.Phase == "Pending" && v.Status.Reason == "RequirementsNotMet"
		})
	})
	missing, err := s.follow(ctx, desk, install[3], r)
	if err != nil {
		t.Fatal(err)
	}
	s.env.Logf("  missing: %q", missing)
	var kinds []string
	for line := range strings.Lines(missing) {
		// OLM lists the ServiceAccount too, if it checked before it had created it.
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] != "ServiceAccount" {
			kinds = append(kinds, fields[0]+"/"+fields[1])
		}
	}
	if diff := cmp.Diff([]string{"cert-manager.io/Certificate", "cert-manager.io/Issuer"}, kinds); diff != "" {
		t.Errorf("what the page shows as missing (-want +got):\n%s", diff)
	}
	requireGone(t, s.env.Hub, owned{"apps/v1", "Deployment", harness.OperatorNamespace, harness.OperatorDeployment})
}

// installedByOLM installs cert-manager and waits as the page does.
func (s *suite) installedByOLM(t *testing.T, r release) {
	ctx, desk, install := t.Context(), s.reader(t), s.commands(t, olmPage, "Install")
	s.step(t, "install cert-manager", func() error { return s.env.EnsureLabWith(ctx, "--cert-manager-on", harness.HubName) })
	s.step(t, "the version is installed", func() error {
		_, err := s.follow(ctx, desk, install[2], r)
		return err
	})
	s.step(t, "admission answers with OLM's certificate", func() error {
		return errors.Join(s.env.AwaitOperator(ctx), s.requireCertificates(ctx, r))
	})
	s.step(t, "OLM reports no problem", func() error { return s.requireHealthy(ctx, r) })
}

// meshByOLM joins the members into a mesh, as every user does.
func (s *suite) meshByOLM(t *testing.T) {
	ctx := t.Context()
	s.step(t, "give the operator its credentials", func() error {
		for _, m := range s.env.Members() {
			if err := s.env.JoinMember(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
	s.step(t, "apply the sample", func() error { return s.env.ApplyMesh(ctx) })
	s.step(t, "wait for the mesh", func() error { return s.waitReady(ctx) })
	s.step(t, "deploy the workloads", func() error { return s.env.DeployWorkloads(ctx) })
	s.step(t, "requests in and across clusters", func() error { return traffic.AcrossClusters(ctx, s.env) })
	s.step(t, "strict mutual TLS", func() error { return traffic.StrictMTLS(ctx, s.env) })
}

// updatedByOLM updates the operator by a newer catalog while requests flow. The stored objects and everything in members stay as they are.
func (s *suite) updatedByOLM(t *testing.T, r release) {
	ctx, desk, update := t.Context(), s.reader(t), s.commands(t, olmPage, "Updates")
	if !strings.Contains(update[0], catalogInGuide+r.version) {
		t.Fatalf("the page does not name the catalog %s%s", catalogInGuide, r.version)
	}
	s.step(t, "the mesh is ready", func() error { return s.waitReady(ctx) })
	time.Sleep(settle)
	stored, pods, from := s.storedObjects(t), map[string]map[string]types.UID{}, time.Now()
	for _, m := range s.env.Members() {
		pods[m] = s.istiods(t, m)
	}
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		for _, block := range update {
			if _, err := s.follow(ctx, desk, block, r); err != nil {
				return err
			}
		}
		s.env.Logf("  updated after %.0f s", time.Since(from).Seconds())
		if err := s.env.AwaitOperator(ctx); err != nil {
			return err
		}
		// A report of the new process must be awaited, not one of the old; nothing marks it but time.
		time.Sleep(settle)
		return s.waitReady(ctx)
	})
	s.requireSilence(t, from, time.Now(), true)
	if diff := cmp.Diff(stored, s.storedObjects(t)); diff != "" {
		t.Errorf("stored objects (-before +after):\n%s", diff)
	}
	for _, m := range s.env.Members() {
		if diff := cmp.Diff(pods[m], s.istiods(t, m)); diff != "" {
			t.Errorf("%s: istiod and gateway pods (-before +after):\n%s", m, diff)
		}
	}
	s.step(t, "OLM reports no problem", func() error {
		return errors.Join(s.requireHealthy(ctx, r), s.requireCertificates(ctx, r), s.requireOperator(ctx, r))
	})
	requireGone(t, s.env.Hub, owned{"operators.coreos.com/v1alpha1", "ClusterServiceVersion", harness.OperatorNamespace, release{version: formerRelease}.csv()})
	s.step(t, "requests in and across clusters", func() error { return traffic.AcrossClusters(ctx, s.env) })
}

// uninstalledFromOLM follows the chapter "Uninstall": nothing of the operator stays.
func (s *suite) uninstalledFromOLM(t *testing.T, r release) {
	ctx, desk := t.Context(), s.reader(t)
	meshes, operator := s.commands(t, conceptsPage, uninstall), s.commands(t, olmPage, "Uninstall")
	s.step(t, "the workloads leave the mesh", func() error {
		return s.env.EachMember(func(c *harness.Cluster) error { return c.RemoveSidecars(ctx) })
	})
	for i, block := range []string{meshes[0], meshes[1], operator[0]} {
		s.step(t, fmt.Sprintf("step %d", i+1), func() error {
			_, err := s.follow(ctx, desk, block, r)
			return err
		})
	}
	s.step(t, "OLM deletes the operator", func() error { return s.awaitNothingOf(ctx, r) })
	for i, block := range []string{operator[1], meshes[3]} {
		s.step(t, fmt.Sprintf("step %d", i+4), func() error {
			_, err := s.follow(ctx, desk, block, r)
			return err
		})
	}
	requireGone(t, s.env.Hub, owned{"v1", "Namespace", "", harness.OperatorNamespace})
	requireGone(t, s.env.Hub, owned{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "meshinstallations.mesh.meshfleet.io"})
	requireGone(t, s.env.Cluster("east"), owned{"v1", "Namespace", "", "meshfleet-member"})
	s.step(t, "what stays of OLM's objects", func() error { return s.reportLeftovers(ctx) })
}
