package artifacts

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// CertManagerCRDs returns the CustomResourceDefinitions of the cert-manager
// that ImageCertManager runs, as one YAML stream. They are read from its module,
// so that they cannot drift from the program.
func (b *Builder) CertManagerCRDs(ctx context.Context) ([]byte, error) {
	return b.moduleCRDs(ctx, "artifacts/cert-manager", "github.com/cert-manager/cert-manager", "deploy/crds")
}

// moduleCRDs returns the manifests in a folder of a dependency of the module in dir, as one YAML stream.
func (b *Builder) moduleCRDs(ctx context.Context, dir, module, folder string) ([]byte, error) {
	src, err := b.moduleDir(ctx, dir, module)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(src, folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("the module %s has no manifests in %s", module, folder)
	}
	var stream bytes.Buffer
	for _, file := range files {
		crd, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the CRDs of %s: %w", module, err)
		}
		if !bytes.HasPrefix(crd, []byte("---\n")) {
			stream.WriteString("---\n")
		}
		stream.Write(crd)
		stream.WriteByte('\n')
	}
	return stream.Bytes(), nil
}
