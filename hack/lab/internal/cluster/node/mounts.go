//go:build linux

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

// isolate gives the node its own view of the paths that components and plugins insist on. All of it lives in the mount
// namespace, so it ends with the last process and never shows on the host.
func isolate(dir state.Dir) error {
	steps := []struct {
		what string
		do   func() error
	}{
		// First cut the ties to the host's mounts, then let mounts pass on inside, as the kubelet requires.
		{"detach mounts from the host", func() error { return propagate(unix.MS_PRIVATE) }},
		{"mount /proc", func() error {
			return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"share mounts", func() error { return propagate(unix.MS_SHARED) }},
		{"mount /run", func() error {
			return unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
		}},
		{"mount /var/lib", func() error { return bind(dir.VarLib(), "/var/lib") }},
		{"mount /var/log", func() error { return bind(dir.VarLog(), "/var/log") }},
		{"mount /etc/resolv.conf", func() error { return bindResolvConf(nodeconfig.ResolvConf(dir)) }},
		{"share new mounts", func() error { return propagate(unix.MS_SHARED) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func propagate(kind uintptr) error {
	return unix.Mount("", "/", "", unix.MS_REC|kind, "")
}

func bind(source, target string) error {
	return unix.Mount(source, target, "", unix.MS_BIND, "")
}

// bindResolvConf copes with a link into /run, which the new /run has emptied.
func bindResolvConf(source string) error {
	const path = "/etc/resolv.conf"
	target, err := os.Readlink(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing to hide
	}
	if err != nil {
		return bind(source, path) // not a link
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(path), target)
	}
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			return err
		}
	}
	return bind(source, target)
}
