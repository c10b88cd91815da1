package artifacts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// CertManagerCRDs returns the CustomResourceDefinitions of the cert-manager
// that ImageCertManager runs, as one YAML stream. They are read from its module,
// so that they cannot drift from the program.
func (b *Builder) CertManagerCRDs(ctx context.Context) ([]byte, error) {
	src, err := b.moduleDir(ctx, "artifacts/cert-manager", "github.com/cert-manager/cert-manager")
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(src, "deploy", "crds", "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("the cert-manager module has no deploy/crds")
	}
	var stream bytes.Buffer
	for _, file := range files {
		crd, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read cert-manager's CRDs: %w", err)
		}
		if !bytes.HasPrefix(crd, []byte("---\n")) {
			stream.WriteString("---\n")
		}
		stream.Write(crd)
		stream.WriteByte('\n')
	}
	return stream.Bytes(), nil
}
