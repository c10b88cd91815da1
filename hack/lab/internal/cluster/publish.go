//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

func kubeconfigIn(out, cluster string) string { return filepath.Join(out, cluster+".kubeconfig") }
func auditLogIn(out, cluster string) string   { return filepath.Join(out, cluster+"-audit.log") }

// publish puts the files for the user into the output directory. The audit log is a link: it keeps growing.
func (e *Engine) publish(cluster, out string) error {
	dir := e.store.Dir(cluster)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("create output directory: %w", err)
	}
	config, err := os.ReadFile(dir.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	if err := os.WriteFile(kubeconfigIn(out, cluster), config, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	link := auditLogIn(out, cluster)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace link to audit log: %w", err)
	}
	if err := os.Symlink(dir.AuditLog(), link); err != nil {
		return fmt.Errorf("link audit log: %w", err)
	}
	return nil
}

// unpublish removes the files again. Failing to do so must not keep a cluster alive.
func (e *Engine) unpublish(record state.Record) {
	for _, out := range record.Outs() {
		for _, path := range []string{kubeconfigIn(out, record.Name), auditLogIn(out, record.Name)} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				e.progress("%s: %v", record.Name, err)
			}
		}
	}
}
