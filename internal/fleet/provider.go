package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

const (
	// DefaultProbeInterval is the default of Options.ProbeInterval.
	DefaultProbeInterval = 10 * time.Second
	// DefaultDownAfter is the default of Options.DownAfter at the default interval: two failed probes.
	DefaultDownAfter = 2 * DefaultProbeInterval
	// probeTimeout is the default of Options.ProbeTimeout.
	probeTimeout = 5 * time.Second
)

// ErrNotConnected is returned for a member whose API server does not answer, or that is not known.
var ErrNotConnected = errors.New("not connected")

// Options configure a Provider.
type Options struct {
	// Local is the operator's own cluster, for members with Source.Local.
	Local *rest.Config
	// Scheme of the members' clients and caches. Default: client-go's.
	Scheme *runtime.Scheme
	// ManagedLabel restricts the caches of the members. Default: everything.
	ManagedLabel labels.Selector
	// Selectors restrict the caches of single kinds instead of ManagedLabel.
	Selectors map[client.Object]labels.Selector
	// ProbeInterval is the time between two probes of a member. Default: 10 s.
	ProbeInterval time.Duration
	// ProbeTimeout bounds one probe. Default: 5 s.
	ProbeTimeout time.Duration
	// DownAfter is how long no probe may have succeeded before a connected member is Down. Default: two
	// ProbeIntervals, which is two failed probes.
	DownAfter time.Duration
	// QPS and Burst limit the calls to one member. Default: 100 and 200.
	QPS   float32
	Burst int
}

func (o Options) withDefaults() Options {
	if o.ProbeInterval == 0 {
		o.ProbeInterval = DefaultProbeInterval
	}
	if o.ProbeTimeout == 0 {
		o.ProbeTimeout = probeTimeout
	}
	if o.DownAfter == 0 {
		o.DownAfter = 2 * o.ProbeInterval
	}
	if o.QPS == 0 {
		o.QPS = 100
	}
	if o.Burst == 0 {
		o.Burst = 200
	}
	return o
}

var (
	_ multicluster.Provider         = &Provider{}
	_ multicluster.ProviderRunnable = &Provider{}
)

// Provider holds the members' connections.
type Provider struct {
	opts      Options
	listeners listeners

	mu      sync.Mutex
	members map[types.NamespacedName]*member
	indexes []index
	launch  func(*member) // nil before Start
	running sync.WaitGroup
}

type index struct {
	object  client.Object
	field   string
	extract client.IndexerFunc
}

// NewProvider makes a provider without members. Members may be ensured before Start; they connect after it.
func NewProvider(opts Options) *Provider {
	return &Provider{opts: opts.withDefaults(), members: map[types.NamespacedName]*member{}}
}

// ClusterName is the name of a MeshMember's cluster with multicluster-runtime.
func ClusterName(key types.NamespacedName) multicluster.ClusterName {
	return multicluster.ClusterName(key.String())
}

// Key is the MeshMember of a cluster that ClusterName has named.
func Key(name multicluster.ClusterName) types.NamespacedName {
	namespace, member, _ := strings.Cut(string(name), "/")
	return types.NamespacedName{Namespace: namespace, Name: member}
}

// Start connects the members until ctx ends, and returns when all their goroutines have.
func (p *Provider) Start(ctx context.Context, aware multicluster.Aware) error {
	p.mu.Lock()
	if p.launch != nil {
		p.mu.Unlock()
		return errors.New("the provider was started already")
	}
	p.launch = func(m *member) {
		memberCtx, cancel := context.WithCancel(ctx)
		m.cancel = cancel
		p.running.Go(func() { m.run(memberCtx, aware) })
	}
	for _, m := range p.members {
		p.launch(m)
	}
	p.mu.Unlock()

	<-ctx.Done()
	p.mu.Lock()
	p.launch = func(*member) {}
	p.mu.Unlock()
	p.running.Wait()
	return nil
}

// Ensure makes the member known by this source and returns at once; State tells how the connection gets on. Another
// source than before replaces the connection as soon as it answers. The error is a *SourceError: no retry helps. It
// leaves a connection from an earlier source as it is.
func (p *Provider) Ensure(key types.NamespacedName, src Source) error {
	m := p.get(key)
	if m != nil {
		if want, _, _ := m.snapshot(); want.id == src.id() {
			return nil
		}
	}
	want, err := p.opts.resolve(src)
	if err != nil {
		return fmt.Errorf("member %s: %w", key, err)
	}
	p.mu.Lock()
	m = p.members[key]
	if m == nil {
		m = newMember(key, p.opts, want)
		m.changed = func() { p.listeners.tell(key) }
		m.index = p.addIndexes
		p.members[key] = m
		if p.launch != nil {
			p.launch(m)
		}
		p.mu.Unlock()
		return nil
	}
	p.mu.Unlock()
	m.aim(want)
	return nil
}

// Remove forgets the member: it is disengaged and its goroutines, caches and connections end soon after.
func (p *Provider) Remove(key types.NamespacedName) {
	p.mu.Lock()
	m := p.members[key]
	delete(p.members, key)
	p.mu.Unlock()
	if m != nil {
		m.cancel()
	}
}

// State returns false for a member that was not ensured.
func (p *Provider) State(key types.NamespacedName) (State, bool) {
	m := p.get(key)
	if m == nil {
		return State{}, false
	}
	_, state, _ := m.snapshot()
	return state, true
}

// Connection returns ErrNotConnected unless the member is Connected.
func (p *Provider) Connection(key types.NamespacedName) (*Connection, error) {
	m := p.get(key)
	if m == nil {
		return nil, fmt.Errorf("member %s: %w: unknown", key, ErrNotConnected)
	}
	_, state, conn := m.snapshot()
	if state.Phase != Connected || conn == nil {
		return nil, fmt.Errorf("member %s: %w: %s", key, ErrNotConnected, state.Message)
	}
	return conn.member, nil
}

// Get returns the cluster of a member that has connected, even if it is down now. It implements multicluster.Provider.
func (p *Provider) Get(_ context.Context, name multicluster.ClusterName) (cluster.Cluster, error) {
	m := p.get(Key(name))
	if m == nil {
		return nil, fmt.Errorf("cluster %q: %w", name, multicluster.ErrClusterNotFound)
	}
	_, _, conn := m.snapshot()
	if conn == nil {
		return nil, fmt.Errorf("cluster %q has not connected: %w", name, multicluster.ErrClusterNotFound)
	}
	return conn.member.Cluster, nil
}

// IndexField adds an index to the caches of all members, now and later. It implements multicluster.Provider.
func (p *Provider) IndexField(ctx context.Context, obj client.Object, field string, extract client.IndexerFunc) error {
	p.mu.Lock()
	p.indexes = append(p.indexes, index{object: obj, field: field, extract: extract})
	members := slices.Collect(maps.Values(p.members))
	p.mu.Unlock()
	var errs []error
	for _, m := range members {
		if _, _, conn := m.snapshot(); conn != nil {
			if err := conn.member.Cluster.GetFieldIndexer().IndexField(ctx, obj, field, extract); err != nil {
				errs = append(errs, fmt.Errorf("index field %q of member %s: %w", field, m.key, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (p *Provider) addIndexes(ctx context.Context, conn *connection) error {
	p.mu.Lock()
	indexes := slices.Clone(p.indexes)
	p.mu.Unlock()
	for _, i := range indexes {
		if err := conn.member.Cluster.GetFieldIndexer().IndexField(ctx, i.object, i.field, i.extract); err != nil {
			return fmt.Errorf("index field %q: %w", i.field, err)
		}
	}
	return nil
}

func (p *Provider) get(key types.NamespacedName) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members[key]
}
