package harness

import (
	"context"
	"strings"
)

// LoadImage imports the archive of an image into clusters, under the name that the archive has.
func (e *Env) LoadImage(ctx context.Context, archive string, clusters ...string) error {
	return e.labctl(ctx, "load-image", "--clusters", strings.Join(clusters, ","), archive)
}

// LabImage returns the archive of one of the lab's own images.
func (e *Env) LabImage(ctx context.Context, ref string) (string, error) {
	path, err := e.output(ctx, e.Path("bin", "labctl"), "archive", ref)
	return strings.TrimSpace(path), err
}

// Make runs make in the repository, with progress.
func (e *Env) Make(ctx context.Context, args ...string) error {
	return e.run(ctx, "", "make", args...)
}

// BuildHelm builds Helm of the version that the benchmark has, and returns its path.
func (e *Env) BuildHelm(ctx context.Context) (string, error) {
	path := e.Path("bin", "tools", "helm")
	return path, e.run(ctx, "", "go", "build", "-C", e.Path("test", "bench", "helm"), "-o", path, "helm.sh/helm/v3/cmd/helm")
}
