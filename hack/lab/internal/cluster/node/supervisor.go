//go:build linux

// Package node is the first process of a cluster's node. It runs as pid 1 of its own pid namespace, beside its own
// mount, network, uts and ipc namespaces: the kernel kills everything of the cluster when it ends, however it ends.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/control"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/loadbalancer"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/network"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

// Go is the byte that the parent sends when the node's network is ready.
const Go = 'g'

type supervisor struct {
	node       nodeconfig.Node
	reaper     *reaper
	components []*component
	balancer   *loadbalancer.Controller
	api        *apiWatch

	// importing keeps image imports one at a time: they are bound by processor and disk.
	importing sync.Mutex
}

// Run supervises the node in dir until it is told to end.
func Run(dir state.Dir, ready io.Reader) error {
	if os.Getpid() != 1 {
		return errors.New("node-init is the first process of a node; use labctl up")
	}
	if err := awaitGo(ready); err != nil {
		return err
	}
	node, err := nodeconfig.Read(dir)
	if err != nil {
		return err
	}
	// The socket is made before the mounts change, so that its path is that of the host.
	listener, err := net.Listen("unix", dir.Socket())
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	if err := prepare(dir, node.Name); err != nil {
		return err
	}
	s, err := newSupervisor(dir, node)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	for _, c := range s.components {
		go c.run()
		if !c.plan.AfterAPI {
			c.update(func() { c.wanted = true })
		}
	}
	go s.api.run(ctx)
	go s.balancer.Run(ctx)
	failed := make(chan error, 1)
	go func() { failed <- control.Serve(listener, s) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// awaitGo ends the process when its parent dies before the node is set up.
func awaitGo(ready io.Reader) error {
	var signal [1]byte
	if _, err := io.ReadFull(ready, signal[:]); err != nil || signal[0] != Go {
		return fmt.Errorf("labctl ended before the node was set up: %w", err)
	}
	return nil
}

func prepare(dir state.Dir, name string) error {
	if err := isolate(dir); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	// A new network namespace does not always inherit this from the host.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("enable forwarding: %w", err)
	}
	return nil
}

func newSupervisor(dir state.Dir, node nodeconfig.Node) (*supervisor, error) {
	config, err := clientcmd.BuildConfigFromFlags("", dir.AdminKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.UserAgent = "meshfleet-lab"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	s := &supervisor{node: node, reaper: newReaper()}
	for _, plan := range node.Components {
		s.components = append(s.components, newComponent(plan, node.Environment, dir.Logs(), s.reaper))
	}
	s.api = &apiWatch{client: client.Discovery().RESTClient(), components: s.components}
	s.balancer = loadbalancer.New(client, node.Pool, loadbalancer.Interface{
		Add: network.AddAddress, Remove: network.RemoveAddress,
	})
	return s, nil
}

// Status implements control.Supervisor.
func (s *supervisor) Status() control.Status {
	status := control.Status{APIReady: s.api.isReady(), Addresses: s.balancer.Assigned()}
	for _, c := range s.components {
		component, _, _ := c.observe()
		status.Components = append(status.Components, component)
	}
	return status
}

// Do implements control.Supervisor.
func (s *supervisor) Do(ctx context.Context, action, name string) error {
	var known []string
	for _, c := range s.components {
		known = append(known, c.plan.Name)
		if c.plan.Name != name {
			continue
		}
		switch action {
		case control.Start:
			return c.start(ctx)
		case control.Stop:
			return c.stop(ctx)
		case control.Restart:
			return c.restart(ctx)
		default:
			return fmt.Errorf("unknown action %q", action)
		}
	}
	return fmt.Errorf("no component %q; there are %v", name, known)
}

// ImportImage implements control.Supervisor.
func (s *supervisor) ImportImage(ctx context.Context, archive io.Reader) error {
	s.importing.Lock()
	defer s.importing.Unlock()
	if err := awaitSocket(ctx, nodeconfig.ContainerdSocket); err != nil {
		return err
	}
	output, err := os.CreateTemp("/run", "import-")
	if err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	defer func() { _ = output.Close(); _ = os.Remove(filepath.Clean(output.Name())) }()
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	defer func() { _ = write.Close() }()
	_, exited, err := s.reaper.start(command{
		args: s.node.ImageImport, env: s.node.Environment, stdin: read, stdout: output, stderr: output,
	})
	_ = read.Close()
	if err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	_, copyErr := io.Copy(write, archive)
	_ = write.Close()
	if status := <-exited; status.ExitStatus() != 0 {
		text, _ := os.ReadFile(output.Name())
		return fmt.Errorf("import image: %s: %s", describe(status), text)
	}
	if copyErr != nil {
		return fmt.Errorf("import image: %w", copyErr)
	}
	return nil
}

func awaitSocket(ctx context.Context, path string) error {
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
