//go:build linux

package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/cgroup"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/network"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/proc"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/sysctl"
)

// removeLimit is ample: the kernel needs a second or two to bury a cluster.
const removeLimit = time.Minute

// Down removes clusters, or all of them when none is named, whatever state they are in. With the last one the host gets
// its bridge removed and its settings back.
func (e *Engine) Down(ctx context.Context, clusters []string) error {
	for _, name := range clusters {
		if err := addr.CheckName(name); err != nil {
			return err
		}
	}
	unlock, err := e.store.Lock(ctx, func() { e.progress("waiting for another labctl to finish") })
	if err != nil {
		return err
	}
	defer unlock()
	if len(clusters) == 0 {
		if clusters, err = e.traces(); err != nil {
			return err
		}
	}
	err = together(clusters, func(name string) error {
		if err := e.remove(ctx, name); err != nil {
			return fmt.Errorf("remove cluster %q: %w", name, err)
		}
		e.progress("%s: removed", name)
		return nil
	})
	if err != nil {
		return err
	}
	left, err := e.traces()
	if err != nil || len(left) > 0 {
		return err
	}
	return e.restoreHost()
}

// traces returns the names of all clusters that exist or left anything behind.
func (e *Engine) traces() ([]string, error) {
	names, err := e.store.Clusters()
	if err != nil {
		return nil, err
	}
	links, err := network.Leftovers()
	if err != nil {
		return nil, err
	}
	groups, err := cgroup.Leftovers()
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		names = append(names, strings.TrimPrefix(group, cgroup.Name("")))
	}
	inits, err := proc.FindInits(NodeCommand)
	if err != nil {
		return nil, err
	}
	for dir := range inits {
		if name, ok := strings.CutPrefix(dir, e.store.Root()+"/"); ok {
			names = append(names, name)
		}
	}
	names = append(names, links...)
	names = slices.DeleteFunc(names, func(name string) bool { return addr.CheckName(name) != nil })
	slices.Sort(names)
	return slices.Compact(names), nil
}

// remove leaves nothing of a cluster. Every step works when the earlier ones found nothing to do.
func (e *Engine) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	record, err := e.store.Load(name)
	if err == nil {
		if err := record.Process.Kill(ctx); err != nil {
			return err
		}
		e.unpublish(record)
	}
	orphan, found, err := e.orphan(name)
	if err != nil {
		return err
	}
	if found {
		if err := orphan.Kill(ctx); err != nil {
			return err
		}
	}
	if err := network.Detach(ctx, name); err != nil {
		return err
	}
	if err := cgroup.Remove(ctx, cgroup.Name(name)); err != nil {
		return err
	}
	return removeDir(string(e.store.Dir(name)))
}

// removeDir refuses to delete through a mount. There is none unless somebody made one by hand: those of the node were in
// its own namespace.
func removeDir(dir string) error {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	defer func() { _ = mounts.Close() }()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		const mountPoint = 4
		fields := strings.Fields(lines.Text())
		if len(fields) > mountPoint && strings.HasPrefix(fields[mountPoint]+"/", dir+"/") {
			return fmt.Errorf("%s is mounted below the cluster's directory: unmount it first", fields[mountPoint])
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}

func (e *Engine) restoreHost() error {
	if err := network.RemoveBridge(); err != nil {
		return err
	}
	host, err := e.store.LoadHost()
	if err != nil {
		return err
	}
	if err := sysctl.Restore(host.Sysctls); err != nil {
		return err
	}
	return e.store.RemoveHost()
}
