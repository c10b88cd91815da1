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

// States has the State of each member. The zero value is ready.
type States struct{ members sync.Map } // types.NamespacedName → *State

// Of is the state of the pass's member over a connection. Another connection than before begins with nothing remembered. Only one pass
// over a member may run at a time.
func (s *States) Of(p *Pass, connection *fleet.Connection) *State {
	if v, ok := s.members.Load(p.Key()); ok {
		if st, ok := v.(*State); ok && st.connection == connection {
			return st
		}
	}
	st := NewState(connection, apply.New(connection.Client, connection.Metadata, apply.Owner{
		Installation: p.Owner(), Namespace: p.Namespace(),
	}))
	s.members.Store(p.Key(), st)
	return st
}

// Forget drops what is remembered of a member.
func (s *States) Forget(key types.NamespacedName) { s.members.Delete(key) }

// Memory is what a part remembers of each member between passes. The zero value is ready; it must not be copied after use. It is
// forgotten with the member's connection.
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
