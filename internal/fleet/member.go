package fleet

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// member is the goroutine of one member and what others may see of it.
type member struct {
	key     types.NamespacedName
	opts    Options
	changed func()
	index   func(context.Context, *connection) error
	cancel  context.CancelFunc
	wake    chan struct{}

	mu        sync.Mutex
	want      *target
	state     State
	conn      *connection
	interrupt context.CancelFunc
}

func newMember(key types.NamespacedName, opts Options, want *target) *member {
	return &member{key: key, opts: opts, want: want, state: connecting(want), wake: make(chan struct{}, 1),
		cancel: func() {}, interrupt: func() {}}
}

// aim sets another target and interrupts the attempt at the old one. While the same server gets other credentials the
// member stays connected with those it has; another server must be reached first.
func (m *member) aim(want *target) {
	m.mu.Lock()
	elsewhere := !want.sameServer(m.want)
	m.want = want
	interrupt := m.interrupt
	m.mu.Unlock()
	if elsewhere {
		m.set(want, connecting(want))
	}
	interrupt()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *member) snapshot() (*target, State, *connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.want, m.state, m.conn
}

// set does nothing if another target is wanted by now: what was found out about the old one is of no interest.
func (m *member) set(of *target, next State) (changed bool) {
	m.mu.Lock()
	if m.want != of {
		m.mu.Unlock()
		return false
	}
	next.Since = m.state.Since
	changed = !m.state.same(next)
	if next.Phase != m.state.Phase || next.Reason != m.state.Reason {
		next.Since = time.Now()
	}
	m.state = next
	m.mu.Unlock()
	if changed {
		m.changed()
	}
	return changed
}

// run ends with ctx, and with it everything of this member.
func (m *member) run(ctx context.Context, aware multicluster.Aware) {
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithName("fleet").WithValues("cluster", ClusterName(m.key)))
	defer func() { m.serve(nil).close() }()
	backoff := newBackoff()
	for ctx.Err() == nil {
		want, _, conn := m.snapshot()
		next := wait.Jitter(m.opts.ProbeInterval, 0.1)
		if conn == nil || conn.target != want {
			if m.connect(ctx, want, aware) {
				backoff = newBackoff()
			} else {
				next = backoff.Step()
			}
		} else if !m.probe(ctx, conn) {
			log.FromContext(ctx).Info("Another cluster answers at the address, connecting again")
			m.serve(nil).close()
			next = 0
		}
		if pause(ctx, m.wake, next) {
			backoff = newBackoff()
		}
	}
}

// attempt returns a context that aim ends.
func (m *member) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	m.interrupt = cancel
	m.mu.Unlock()
	return ctx, cancel
}

// connect replaces the connection if the target answers. The old one ends only after that.
func (m *member) connect(ctx context.Context, want *target, aware multicluster.Aware) bool {
	attempt, cancel := m.attempt(ctx)
	defer cancel()
	conn, found, err := m.opts.connect(attempt, want, m.index)
	switch {
	case err == nil && attempt.Err() != nil:
		conn.abandon()
		return false
	case attempt.Err() != nil:
		return false
	case err != nil:
		m.fail(ctx, want, err)
		return false
	}
	conn.start(ctx, ClusterName(m.key), aware)
	old := m.serve(conn)
	m.set(want, connected(want, found))
	log.FromContext(ctx).Info("Connected", "server", want.config.Host, "version", found.version)
	old.retire()
	return true
}

// serve makes conn the connection and returns the one before.
func (m *member) serve(conn *connection) (old *connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, m.conn = m.conn, conn
	return old
}

func (m *member) fail(ctx context.Context, of *target, err error) {
	_, state, _ := m.snapshot()
	state = state.down(of, err)
	if m.set(of, state) {
		log.FromContext(ctx).Info("Not connected", "reason", state.Reason, "message", state.Message)
	}
}

// probe asks whether the API server is still there. It returns false if another cluster answers at the address: the
// caches then hold what does not exist.
func (m *member) probe(ctx context.Context, conn *connection) bool {
	attempt, cancel := m.attempt(ctx)
	defer cancel()
	_, state, _ := m.snapshot()
	ask := conn.ask
	if state.Phase != Connected {
		ask = conn.askAll
	}
	found, err := ask(attempt, m.opts.ProbeTimeout)
	switch {
	case attempt.Err() != nil:
		return true
	case err == nil && found.uid != conn.uid:
		return false
	case err == nil:
		conn.answered = time.Now()
		m.set(conn.target, connected(conn.target, found))
		return true
	}
	if time.Since(conn.answered) < m.opts.DownAfter {
		return true
	}
	m.fail(ctx, conn.target, err)
	if reason, _ := conn.target.explain(err); reason == meshv1alpha1.ReasonConnectionDown {
		conn.hangUp()
	}
	return true
}
