package artifacts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// HostPackages lists the Debian packages that nodes, or the proxy image, take
// programs from.
func HostPackages() []string {
	return []string{
		"runc",                        // containerd's OCI runtime
		"containernetworking-plugins", // ptp, host-local, portmap
		"iptables",                    // kube-proxy, and the proxy image
		"nftables",                    // kube-proxy in nftables mode
		"conntrack",                   // kube-proxy removes stale UDP flows with it
		"iproute2",                    // looking into a node's network by hand
		"libc-bin",                    // ldd, to find what the proxy image needs
	}
}

// ArgoCDPackages lists the Debian packages whose programs Argo CD runs or needs beside it.
func ArgoCDPackages() []string {
	return []string{
		"git",         // the repo-server reads repositories with it
		"redis-tools", // has the program of redis-server, without the service that the package of that name starts
	}
}

// EnsureHostPackages installs the host packages that are missing, and others given. It touches
// neither the network nor the package database when all are there.
func (b *Builder) EnsureHostPackages(ctx context.Context, others ...string) error {
	want := slices.Concat(HostPackages(), others)
	missing, err := missingPackages(ctx, want)
	if err != nil || len(missing) == 0 {
		return err
	}
	// Two apt-get at a time do not wait for each other, they fail.
	if err := os.MkdirAll(b.CacheDir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(b.CacheDir, ".apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if missing, err = missingPackages(ctx, want); err != nil || len(missing) == 0 {
		return err
	}
	b.progress("host packages: installing %s", strings.Join(missing, " "))
	install := append([]string{"install", "--yes", "--no-install-recommends"}, missing...)
	// The lists of a fresh machine are empty, and old ones name files that are gone.
	for _, args := range [][]string{{"update"}, install} {
		if _, err := run(ctx, "", []string{"DEBIAN_FRONTEND=noninteractive"}, "apt-get", args...); err != nil {
			return fmt.Errorf("install the Debian packages %s (this needs root): %w", strings.Join(missing, " "), err)
		}
	}
	return nil
}

func missingPackages(ctx context.Context, want []string) ([]string, error) {
	for _, tool := range []string{"dpkg-query", "apt-get"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("the lab takes programs from Debian packages and needs Debian or a derivative of it: %w", err)
		}
	}
	args := append([]string{"--show", "--showformat=${Package} ${db:Status-Status}\n"}, want...)
	cmd := exec.CommandContext(ctx, "dpkg-query", args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	// It exits with 1 when it does not know one of the packages.
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("list installed packages: %w", err)
	}
	return notInstalled(want, out.String()), nil
}

// notInstalled compares with dpkg's list of "name status". A package that was
// removed stays in the list, with another status.
func notInstalled(want []string, list string) []string {
	installed := strings.Split(list, "\n")
	return slices.DeleteFunc(slices.Clone(want), func(name string) bool {
		return slices.Contains(installed, name+" installed")
	})
}
