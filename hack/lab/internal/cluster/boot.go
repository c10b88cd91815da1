//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addons"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/cgroup"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/network"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/node"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/proc"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

// upOne takes one cluster from wherever it is to complete: node, images and add-ons.
func (e *Engine) upOne(ctx context.Context, record state.Record, request UpRequest) error {
	plan, err := addr.For(record.Index)
	if err != nil {
		return err
	}
	wasReady := record.Ready
	if !wasReady {
		if err := e.startNode(&record, plan, request.Materials); err != nil {
			return err
		}
	}
	ctx, cancel := e.whileAlive(ctx, record)
	defer cancel(nil)

	with := extras{
		certManager: slices.Contains(request.CertManagerOn, record.Name), prometheus: slices.Contains(request.PrometheusOn, record.Name),
		olm: slices.Contains(request.OLMOn, record.Name),
	}
	images := e.loadImages(ctx, record, request.Materials.images(with))
	if err := e.awaitAPI(ctx, record.Name); err != nil {
		return err
	}
	record.AddOut(request.Out)
	if err := e.publish(record.Name, request.Out); err != nil {
		return err
	}
	if !wasReady {
		e.progress("%s: API server ready at https://%s:%d", record.Name, plan.Node, nodeconfig.APIPort)
	}
	if err := e.installAddons(ctx, record, request.Materials, with, images); err != nil {
		return err
	}
	loaded, err := images.all(ctx)
	if err != nil {
		return err
	}
	if record.Images == nil {
		record.Images = map[string]string{}
	}
	maps.Copy(record.Images, loaded)
	record.CertManager = record.CertManager || with.certManager
	record.OLM = record.OLM || with.olm
	record.Prometheus = record.Prometheus || with.prometheus
	record.Ready = true
	if err := e.store.Save(record); err != nil {
		return err
	}
	if wasReady && len(loaded) == 0 {
		e.progress("%s: already up", record.Name)
	} else {
		e.progress("%s: up", record.Name)
	}
	return nil
}

// startNode starts the supervisor in namespaces of its own. The record is saved before the process is allowed to go on,
// so that there is never a node that no record names.
func (e *Engine) startNode(record *state.Record, plan addr.Plan, materials Materials) error {
	dir := e.store.Dir(record.Name)
	spec := nodeconfig.Spec{
		Cluster: record.Name, Plan: plan, Dir: dir, Binaries: materials.Binaries, PauseImage: materials.Pause.Ref,
	}
	if err := nodeconfig.Write(spec); err != nil {
		return err
	}
	if err := cgroup.Create(cgroup.Name(record.Name)); err != nil {
		return err
	}
	pid, ready, err := spawn(dir)
	if err != nil {
		return err
	}
	// Closing without the byte ends the process.
	defer func() { _ = ready.Close() }()
	if record.Process, err = proc.Identify(pid); err != nil {
		return err
	}
	if err := e.store.Save(*record); err != nil {
		return err
	}
	if err := network.Attach(record.Name, plan, pid); err != nil {
		return err
	}
	if _, err := ready.Write([]byte{node.Go}); err != nil {
		return fmt.Errorf("let the node start: %w", err)
	}
	e.progress("%s: node started (pid %d, index %d)", record.Name, pid, record.Index)
	return nil
}

// spawn starts this program again as the first process of a node. It outlives the command: a session of its own, no
// pipe to us but the one it waits on once, and output to a file.
func spawn(dir state.Dir) (pid int, ready *os.File, err error) {
	output, err := os.OpenFile(dir.Path("logs", NodeCommand+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, fmt.Errorf("start node: %w", err)
	}
	defer func() { _ = output.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return 0, nil, fmt.Errorf("start node: %w", err)
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command("/proc/self/exe", NodeCommand, string(dir))
	cmd.Args[0] = "labctl"
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS |
			syscall.CLONE_NEWIPC,
	}
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return 0, nil, fmt.Errorf("start node: %w", err)
	}
	// Collect it if it dies before we do; otherwise the host's first process will.
	go func() { _ = cmd.Wait() }()
	return cmd.Process.Pid, write, nil
}

var errNodeDied = errors.New("the node's supervisor ended")

// whileAlive returns a context that ends with the node, so that no wait outlasts it.
func (e *Engine) whileAlive(ctx context.Context, record state.Record) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for ctx.Err() == nil {
			if !isRunning(record) {
				cancel(errNodeDied)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	return ctx, cancel
}

func (e *Engine) awaitAPI(ctx context.Context, name string) error {
	for {
		status, err := e.supervisor(name).Status(ctx)
		if err == nil && status.APIReady {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the API server: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// installAddons waits with each pod until its image is there: a pull that failed first would delay it.
func (e *Engine) installAddons(
	ctx context.Context, record state.Record, materials Materials, with extras, images *imageLoad,
) error {
	config, err := e.restConfig(record.Name)
	if err != nil {
		return err
	}
	target, err := addons.NewCluster(config)
	if err != nil {
		return err
	}
	plan, err := addr.For(record.Index)
	if err != nil {
		return err
	}
	if !record.Ready {
		if err := images.await(ctx, materials.Pause, materials.CoreDNS); err != nil {
			return err
		}
		if err := target.ApplyCoreDNS(ctx, materials.CoreDNS.Ref, plan.DNS); err != nil {
			return err
		}
		if err := target.WaitNodeReady(ctx, record.Name); err != nil {
			return err
		}
		e.progress("%s: node Ready", record.Name)
	}
	if err := e.installExtras(ctx, target, record, materials, with, images); err != nil {
		return err
	}
	if record.Ready {
		return nil
	}
	if err := target.WaitCoreDNS(ctx); err != nil {
		return err
	}
	e.progress("%s: DNS ready", record.Name)
	return nil
}

// extras are what only some clusters get.
type extras struct{ certManager, olm, prometheus bool }

func (e *Engine) installExtras(
	ctx context.Context, target *addons.Cluster, record state.Record, materials Materials, with extras, images *imageLoad,
) error {
	if with.certManager && !record.CertManager {
		if err := images.await(ctx, materials.CertManager); err != nil {
			return err
		}
		if err := target.ApplyCertManager(ctx, materials.CertManager.Ref, materials.CertManagerCRDs); err != nil {
			return err
		}
		if err := target.WaitCertManager(ctx); err != nil {
			return err
		}
		e.progress("%s: cert-manager ready", record.Name)
	}
	if with.olm && !record.OLM {
		if err := images.await(ctx, materials.OLM, materials.OPM); err != nil {
			return err
		}
		if err := target.ApplyOLM(ctx, materials.OLM.Ref, materials.OPM.Ref, materials.OLMCRDs); err != nil {
			return err
		}
		if err := target.WaitOLM(ctx); err != nil {
			return err
		}
		e.progress("%s: OLM ready", record.Name)
	}
	if with.prometheus && !record.Prometheus {
		if err := images.await(ctx, materials.Prometheus); err != nil {
			return err
		}
		if err := target.ApplyPrometheus(ctx, materials.Prometheus.Ref, record.Name); err != nil {
			return err
		}
		if err := target.WaitPrometheus(ctx); err != nil {
			return err
		}
		e.progress("%s: Prometheus ready", record.Name)
	}
	return nil
}
