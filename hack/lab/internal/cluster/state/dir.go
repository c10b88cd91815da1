//go:build linux

package state

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is the directory of one cluster.
type Dir string

// Path joins a name to the directory.
func (d Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// PKI holds keys and certificates.
func (d Dir) PKI() string { return d.Path("pki") }

// Config holds the configuration files and kubeconfigs of the components.
func (d Dir) Config() string { return d.Path("config") }

// Logs holds one file per component.
func (d Dir) Logs() string { return d.Path("logs") }

// VarLib and VarLog take the place of /var/lib and /var/log inside the node.
func (d Dir) VarLib() string { return d.Path("varlib") }

// VarLog see VarLib.
func (d Dir) VarLog() string { return d.Path("varlog") }

// Socket is where the node's supervisor takes commands.
func (d Dir) Socket() string { return d.Path("control.sock") }

// NodeFile tells the supervisor what to run.
func (d Dir) NodeFile() string { return d.Path("node.json") }

// AuditLog is written by the API server.
func (d Dir) AuditLog() string { return d.Path("logs", "audit.log") }

// AdminKubeconfig has full rights in the cluster.
func (d Dir) AdminKubeconfig() string { return d.Path("config", "admin.kubeconfig") }

// Create makes the directory and those below it.
func (d Dir) Create() error {
	for _, dir := range []string{string(d), d.PKI(), d.Config(), d.Logs(), d.VarLib(), d.VarLog()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create state directory: %w", err)
		}
	}
	// Containers of other users pass through these two.
	for _, dir := range []string{d.VarLib(), d.VarLog()} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return fmt.Errorf("create state directory: %w", err)
		}
	}
	return nil
}
