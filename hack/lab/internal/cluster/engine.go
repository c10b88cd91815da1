//go:build linux

// Package cluster brings up, changes and removes the clusters of the lab.
//
// A cluster is one process tree in five private namespaces (see package node), a link on a bridge, a control group and a
// directory. Each of the four can be found without the others, so that removal works after any kind of crash, and every
// start begins with a removal.
package cluster

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/control"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/proc"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

// NodeCommand is the hidden command of the supervisor. Its only argument is the state directory, which together with
// the name identifies the process of a cluster whose record was lost.
const NodeCommand = "node-init"

// Progress prints one line.
type Progress func(format string, args ...any)

// NewProgress prints lines with the time since now.
func NewProgress() Progress {
	var mu sync.Mutex
	start := time.Now()
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("[%5.1fs] %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}

// Engine works on all clusters of the machine.
type Engine struct {
	store    *state.Store
	progress Progress
}

// New needs root: namespaces, mounts and links cannot be had without it.
func New(progress Progress) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab makes namespaces, mounts and network links: run it as root")
	}
	store, err := state.Open(state.DefaultRoot)
	if err != nil {
		return nil, err
	}
	return &Engine{store: store, progress: progress}, nil
}

// isRunning reports whether the node of a record is alive.
func isRunning(record state.Record) bool { return record.Process.IsAlive() }

// requireRunning fails for a cluster that is not up.
func (e *Engine) requireRunning(name string) error {
	record, err := e.store.Load(name)
	if err != nil || !isRunning(record) {
		return fmt.Errorf("cluster %q is not running", name)
	}
	return nil
}

func (e *Engine) supervisor(name string) *control.Client {
	return control.NewClient(e.store.Dir(name).Socket())
}

func (e *Engine) restConfig(name string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", e.store.Dir(name).AdminKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	// The default of five requests a second would make installing add-ons slow.
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "meshfleet-lab"
	return config, nil
}

// orphan returns the node process of a cluster found without its record.
func (e *Engine) orphan(name string) (proc.Identity, bool, error) {
	inits, err := proc.FindInits(NodeCommand)
	if err != nil {
		return proc.Identity{}, false, err
	}
	id, found := inits[string(e.store.Dir(name))]
	return id, found, nil
}
