//go:build linux

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/network"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/sysctl"
)

// BootLimit is how long a cluster may take to be complete, images included. Ample on any machine that is not emulated.
const BootLimit = 5 * time.Minute

// Image is an archive with the reference that pods know it by.
type Image struct{ Ref, Path string }

// Materials are the built parts that clusters are made from.
type Materials struct {
	Binaries nodeconfig.Binaries
	// Pause and CoreDNS are needed before any pod can start; they are loaded first.
	Pause, CoreDNS Image
	// CertManager, OLM and Prometheus are only needed where they are asked for.
	CertManager     Image
	CertManagerCRDs []byte
	OLM, OPM        Image
	OLMCRDs         []byte
	Prometheus      Image
	// Others are loaded into every cluster.
	Others []Image
}

// UpRequest says which clusters to bring up.
type UpRequest struct {
	Clusters      []string
	CertManagerOn []string
	OLMOn         []string
	PrometheusOn  []string
	// Out is where kubeconfigs go.
	Out       string
	Materials Materials
	// Timeout bounds the way of all clusters to readiness; BootLimit if it is zero.
	Timeout time.Duration
}

// Up brings all requested clusters up, in parallel. Those that run are completed, not restarted. One that fails does not
// stop the others.
func (e *Engine) Up(ctx context.Context, request UpRequest) error {
	if err := request.check(); err != nil {
		return err
	}
	unlock, err := e.store.Lock(ctx, func() { e.progress("waiting for another labctl to finish") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.prepareHost(); err != nil {
		return err
	}
	records, err := e.admit(ctx, request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(request.Timeout, BootLimit))
	defer cancel()
	return together(records, func(record state.Record) error {
		if err := e.upOne(ctx, record, request); err != nil {
			return fmt.Errorf("cluster %q: %w; logs are in %s", record.Name, err, e.store.Dir(record.Name).Logs())
		}
		return nil
	})
}

func (r UpRequest) check() error {
	if len(r.Clusters) == 0 {
		return errors.New("no clusters are named")
	}
	for i, name := range r.Clusters {
		if err := addr.CheckName(name); err != nil {
			return err
		}
		if slices.Contains(r.Clusters[:i], name) {
			return fmt.Errorf("cluster %q is named twice", name)
		}
	}
	for what, names := range map[string][]string{"cert-manager": r.CertManagerOn, "OLM": r.OLMOn, "Prometheus": r.PrometheusOn} {
		for _, name := range names {
			if !slices.Contains(r.Clusters, name) {
				return fmt.Errorf("%s is wanted on %q, which is not among the clusters", what, name)
			}
		}
	}
	return nil
}

// prepareHost records the host's settings before the first change, and never overwrites that record with changed ones.
func (e *Engine) prepareHost() error {
	host, err := e.store.LoadHost()
	if err != nil {
		return err
	}
	if len(host.Sysctls) == 0 {
		values, err := sysctl.Current()
		if err != nil {
			return err
		}
		if err := e.store.SaveHost(state.Host{Sysctls: values}); err != nil {
			return err
		}
	}
	if err := sysctl.RaiseMinimums(); err != nil {
		return err
	}
	return network.EnsureBridge()
}

// admit gives each new cluster an index and removes what an earlier, dead one of the same name left behind.
func (e *Engine) admit(ctx context.Context, request UpRequest) ([]state.Record, error) {
	known, err := e.store.Clusters()
	if err != nil {
		return nil, err
	}
	existing := map[string]state.Record{}
	var taken []int
	for _, name := range known {
		record, err := e.store.Load(name)
		if err == nil {
			existing[name] = record
			taken = append(taken, record.Index)
			continue
		}
		_, found, err := e.orphan(name)
		if err != nil {
			return nil, err
		}
		// A node without a record keeps addresses that nobody knows of.
		if found && !slices.Contains(request.Clusters, name) {
			return nil, fmt.Errorf("cluster %q runs but its record is lost: run labctl down --clusters %[1]s", name)
		}
	}
	var records []state.Record
	for _, name := range request.Clusters {
		record, found := existing[name]
		if found && record.Ready && isRunning(record) {
			records = append(records, record)
			continue
		}
		if !found {
			if record.Index, err = addr.FreeIndex(taken); err != nil {
				return nil, err
			}
			taken = append(taken, record.Index)
		}
		if err := e.remove(ctx, name); err != nil {
			return nil, fmt.Errorf("remove what is left of cluster %q: %w", name, err)
		}
		fresh := state.Record{Name: name, Index: record.Index, Out: request.Out}
		if err := e.store.Dir(name).Create(); err != nil {
			return nil, err
		}
		if err := e.store.Save(fresh); err != nil {
			return nil, err
		}
		records = append(records, fresh)
	}
	return records, nil
}
