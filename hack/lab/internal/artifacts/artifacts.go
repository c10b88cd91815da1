package artifacts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Name identifies an artifact, and its folder in the cache.
type Name string

// The artifacts that a lab consumes. Directories hold:
//   - Kubernetes: kube, and links to it named kube-apiserver, kube-controller-manager,
//     kube-scheduler, kube-proxy, kubelet and kubectl;
//   - Etcd: etcd;
//   - Containerd: containerd, ctr and containerd-shim-runc-v2;
//   - ArgoCD: argocd, and links to it named as its controllers and servers;
//     kustomize; and install.yaml, the manifests of that Argo CD.
const (
	Kubernetes Name = "kubernetes"
	Etcd       Name = "etcd"
	Containerd Name = "containerd"
	ArgoCD     Name = "argo-cd"

	ImagePause       Name = "image-pause"
	ImageCoreDNS     Name = "image-coredns"
	ImageCertManager Name = "image-cert-manager"
	ImagePrometheus  Name = "image-prometheus"
	ImageOLM         Name = "image-olm"
	ImageOPM         Name = "image-opm"
	ImageEcho        Name = "image-echo"
	ImageLoad        Name = "image-load"
)

// ImagePilot names istiod's image of one of IstioVersions.
func ImagePilot(version string) Name { return Name("image-pilot-" + version) }

// ImageProxy names the sidecar and gateway image of one of IstioVersions.
func ImageProxy(version string) Name { return Name("image-proxyv2-" + version) }

// IstioVersions lists the Istio releases that can be built, oldest first.
func IstioVersions() []string {
	var versions []string
	for _, r := range istioReleases {
		versions = append(versions, r.version)
	}
	return versions
}

// ImageRef returns the exact reference under which an image is imported, or ""
// if n is not an image. The host does not exist: a pull can only fail, so
// whatever runs was built here.
func ImageRef(n Name) string { return catalog[n].ref }

// ImageNamed returns the image with a reference.
func ImageNamed(ref string) (Name, error) {
	for name, r := range catalog {
		if r.ref == ref && ref != "" {
			return name, nil
		}
	}
	return "", fmt.Errorf("the lab has no image %q", ref)
}

// Builder builds artifacts into a cache.
type Builder struct {
	// Root is the repository's hack/lab directory.
	Root string
	// CacheDir holds the artifacts. It must be outside of the tree.
	CacheDir string
	// Progress receives one line per step that takes time. It may be nil.
	Progress func(format string, args ...any)
}

// New returns a Builder with the default cache, below os.UserCacheDir.
func New(labDir string, progress func(string, ...any)) (*Builder, error) {
	root, err := filepath.Abs(labDir)
	if err != nil {
		return nil, fmt.Errorf("resolve lab directory %q: %w", labDir, err)
	}
	if _, err := os.Stat(filepath.Join(root, "artifacts")); err != nil {
		return nil, fmt.Errorf("%q is not the repository's hack/lab directory: %w", labDir, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the user's cache directory: %w", err)
	}
	return &Builder{Root: root, CacheDir: filepath.Join(cache, "meshfleet-lab"), Progress: progress}, nil
}

// Ensure builds what is missing and returns the path of each artifact: a
// directory of binaries, or the archive of an image. It builds one artifact at
// a time, because the Go tool already uses every core.
func (b *Builder) Ensure(ctx context.Context, names ...Name) (map[Name]string, error) {
	s := b.newSession(catalog)
	paths := make(map[Name]string, len(names))
	for _, n := range names {
		path, err := s.ensure(ctx, n)
		if err != nil {
			return nil, err
		}
		paths[n] = path
	}
	return paths, nil
}

func (b *Builder) progress(format string, args ...any) {
	if b.Progress != nil {
		b.Progress(format, args...)
	}
}
