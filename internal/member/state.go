package member

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
)

// State is what is kept of a connected member between passes.
type State struct {
	connection *fleet.Connection
	applier    *apply.Applier
	// memories are the values of each Memory, by its address.
	memories map[any]any
}

// NewState is that of a member that has just been connected.
func NewState(connection *fleet.Connection, applier *apply.Applier) *State {
	return &State{connection: connection, applier: applier, memories: map[any]any{}}
}

// over is the same state over another connection to the same cluster, as after a change of the credential.
func (s *State) over(connection *fleet.Connection) *State {
	return &State{
		connection: connection, memories: s.memories,
		applier: s.applier.Over(connection.Client, connection.Metadata),
	}
}

// States has the State of each member. The zero value is ready.
type States struct{ members sync.Map } // types.NamespacedName → *State

// Of is the state of the pass's member over a connection. Over another connection to the same cluster it is kept; over one to another cluster it
// begins with nothing remembered. Only one pass over a member may run at a time.
func (s *States) Of(p *Pass, connection *fleet.Connection) *State {
	v, _ := s.members.Load(p.Key())
	st, ok := v.(*State)
	switch {
	case ok && st.connection == connection:
		return st
	case ok && connection.ClusterUID != "" && st.connection.ClusterUID == connection.ClusterUID:
		st = st.over(connection)
	default:
		st = NewState(connection, apply.New(connection.Client, connection.Metadata, apply.Owner{
			Installation: p.Owner(), Namespace: p.Namespace(),
		}))
	}
	s.members.Store(p.Key(), st)
	return st
}

// Forget drops what is remembered of a member.
func (s *States) Forget(key types.NamespacedName) { s.members.Delete(key) }

// Memory is what a part remembers of each member between passes. The zero value is ready; it must not be copied after use. It is
// forgotten when the member is another cluster. It outlasts the connection, so that nothing of one may be remembered.
type Memory[T any] struct {
	// It has a size, so that no two have the same address.
	_ byte
}

// Of is what is remembered of the pass's member: at first the zero value. Precondition: Attach.
func (m *Memory[T]) Of(p *Pass) *T {
	if v, ok := p.state.memories[m].(*T); ok {
		return v
	}
	v := new(T)
	p.state.memories[m] = v
	return v
}
