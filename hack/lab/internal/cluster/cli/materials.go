//go:build linux

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/hack/lab/internal/artifacts"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
)

// hidden are directories that a node replaces with its own, so that nothing in them can be run there.
var hidden = []string{"/run/", "/var/lib/", "/var/log/"}

// selection says what the clusters will run.
type selection struct {
	istio       []string
	certManager bool
	olm         bool
	prometheus  bool
}

func (s selection) check() error {
	known := artifacts.IstioVersions()
	for _, version := range s.istio {
		if !slices.Contains(known, version) {
			return fmt.Errorf("istio %q cannot be built; there are %s", version, strings.Join(known, ", "))
		}
	}
	return nil
}

// others are the images that every cluster gets beside those of its own system.
func (s selection) others() []artifacts.Name {
	names := []artifacts.Name{artifacts.ImageEcho, artifacts.ImageLoad}
	for _, version := range s.istio {
		names = append(names, artifacts.ImagePilot(version), artifacts.ImageProxy(version))
	}
	return names
}

// names are all artifacts of the selection, in the order to build them.
func (s selection) names() []artifacts.Name {
	names := []artifacts.Name{
		artifacts.Kubernetes, artifacts.Etcd, artifacts.Containerd, artifacts.ImagePause, artifacts.ImageCoreDNS,
	}
	if s.certManager {
		names = append(names, artifacts.ImageCertManager)
	}
	if s.olm {
		names = append(names, artifacts.ImageOLM, artifacts.ImageOPM)
	}
	if s.prometheus {
		names = append(names, artifacts.ImagePrometheus)
	}
	return append(names, s.others()...)
}

// build makes everything that the selection needs and does not exist yet.
func (s selection) build(ctx context.Context, builder *artifacts.Builder) (cluster.Materials, error) {
	if err := s.check(); err != nil {
		return cluster.Materials{}, err
	}
	if err := builder.EnsureHostPackages(ctx); err != nil {
		return cluster.Materials{}, err
	}
	paths, err := builder.Ensure(ctx, s.names()...)
	if err != nil {
		return cluster.Materials{}, err
	}
	image := func(name artifacts.Name) cluster.Image {
		return cluster.Image{Ref: artifacts.ImageRef(name), Path: paths[name]}
	}
	materials := cluster.Materials{
		Binaries: nodeconfig.Binaries{
			Kubernetes: paths[artifacts.Kubernetes], Etcd: paths[artifacts.Etcd], Containerd: paths[artifacts.Containerd],
		},
		Pause:   image(artifacts.ImagePause),
		CoreDNS: image(artifacts.ImageCoreDNS),
	}
	for _, name := range s.others() {
		materials.Others = append(materials.Others, image(name))
	}
	if s.certManager {
		materials.CertManager = image(artifacts.ImageCertManager)
		if materials.CertManagerCRDs, err = builder.CertManagerCRDs(ctx); err != nil {
			return cluster.Materials{}, err
		}
	}
	if s.olm {
		materials.OLM, materials.OPM = image(artifacts.ImageOLM), image(artifacts.ImageOPM)
		if materials.OLMCRDs, err = builder.OLMCRDs(ctx); err != nil {
			return cluster.Materials{}, err
		}
	}
	if s.prometheus {
		materials.Prometheus = image(artifacts.ImagePrometheus)
	}
	return materials, checkVisible(materials.Binaries)
}

func checkVisible(binaries nodeconfig.Binaries) error {
	for _, dir := range []string{binaries.Kubernetes, binaries.Etcd, binaries.Containerd} {
		for _, prefix := range hidden {
			if strings.HasPrefix(dir, prefix) {
				return fmt.Errorf("nodes cannot see the built programs in %s, because they have a %s of their own: "+
					"set XDG_CACHE_HOME to a directory elsewhere", dir, strings.TrimSuffix(prefix, "/"))
			}
		}
	}
	return nil
}
