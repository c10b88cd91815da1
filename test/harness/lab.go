package harness

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// EnsureLab brings the hub and the members up; on a lab that runs it only connects and checks. The clusters have
// DNS, load balancer addresses, the Istio images of the versions asked for, and cert-manager on the hub.
func (e *Env) EnsureLab(ctx context.Context) error {
	return e.EnsureLabWith(ctx, "--cert-manager-on", HubName)
}

// EnsureLabWith is EnsureLab with add-ons of the caller's choice: flags of `labctl up`, which add to what the clusters have.
func (e *Env) EnsureLabWith(ctx context.Context, addons ...string) error {
	if err := e.requireFiles("bin/labctl"); err != nil {
		return err
	}
	names := append([]string{HubName}, e.opts.Members...)
	hub, err := e.up(ctx, names, addons...)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.Hub = hub
	e.mu.Unlock()
	return nil
}

// AddCluster brings one more cluster up beside those that run. It does not join the mesh by that.
func (e *Env) AddCluster(ctx context.Context, name string) error {
	_, err := e.up(ctx, []string{name})
	return err
}

// up runs labctl for the clusters and connects to them. It returns the first.
func (e *Env) up(ctx context.Context, names []string, more ...string) (*Cluster, error) {
	if !e.IsAttached() {
		args := []string{"up", "--clusters", strings.Join(names, ","), "--istio", strings.Join(e.opts.IstioVersions, ",")}
		if err := e.labctl(ctx, append(args, more...)...); err != nil {
			return nil, err
		}
	}
	var first *Cluster
	for _, name := range names {
		c, err := e.connect(name)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = c
		}
	}
	return first, nil
}

// IsAttached tells whether the clusters are somebody else's.
func (e *Env) IsAttached() bool { return len(e.opts.Attach) > 0 }

// DownLab stops the clusters that this Env has used. Others on the same machine are somebody else's.
func (e *Env) DownLab(ctx context.Context) error {
	e.mu.Lock()
	names := slices.Sorted(maps.Keys(e.clusters))
	e.mu.Unlock()
	if len(names) == 0 || e.IsAttached() {
		return nil
	}
	return e.labctl(ctx, "down", "--clusters", strings.Join(names, ","))
}

// Link cuts a cluster off the others, or joins it again.
func (e *Env) Link(ctx context.Context, cluster string, up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	return e.labctl(ctx, "link", state, cluster)
}

// requireFiles says which build step is missing, in place of a failure further on.
func (e *Env) requireFiles(paths ...string) error {
	for _, p := range paths {
		if _, err := os.Stat(e.Path(p)); err != nil {
			return fmt.Errorf("%s is missing: run this through `make demo`, `make e2e` or `make bench`, which build it: %w",
				p, err)
		}
	}
	return nil
}

// RestartComponent stops a component of a cluster, such as kube-apiserver, and starts it again.
func (e *Env) RestartComponent(ctx context.Context, cluster, component string) error {
	return e.labctl(ctx, "restart", cluster, component)
}
