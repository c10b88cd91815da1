package member

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// withoutCache is the cluster of a connection over which nothing is watched.
type withoutCache struct{ cluster.Cluster }

func (withoutCache) GetCache() cache.Cache { return nil }

func connected() *fleet.Connection {
	return &fleet.Connection{Client: fake.NewClientBuilder().Build(), Cluster: withoutCache{}}
}

// passOver is another pass over a member.
func passOver(states *States, name string, connection *fleet.Connection) *Pass {
	pass := &Pass{Object: testutil.Member(name), Now: testutil.Now}
	pass.Attach(states.Of(pass, connection))
	return pass
}

// TestMemoryLastsAsLongAsTheConnection wants what a part remembers of a member to be kept from pass to pass, and of another connection
// nothing.
func TestMemoryLastsAsLongAsTheConnection(t *testing.T) {
	var states States
	var memory Memory[int]
	first := connected()
	if got := *memory.Of(passOver(&states, "east", first)); got != 0 {
		t.Errorf("a member that has just been connected: %d is remembered, want nothing", got)
	}
	*memory.Of(passOver(&states, "east", first)) = 3
	if got := *memory.Of(passOver(&states, "east", first)); got != 3 {
		t.Errorf("in the next pass: %d, want what was remembered", got)
	}
	if got := *memory.Of(passOver(&states, "west", connected())); got != 0 {
		t.Errorf("of another member: %d, want nothing", got)
	}
	if got := *memory.Of(passOver(&states, "east", first)); got != 3 {
		t.Errorf("after a pass over another member: %d, want what was remembered", got)
	}
	again := connected()
	if got := *memory.Of(passOver(&states, "east", again)); got != 0 {
		t.Errorf("over another connection: %d, want nothing", got)
	}
	if got := *memory.Of(passOver(&states, "east", first)); got != 0 {
		t.Errorf("over the first connection again: %d, want nothing", got)
	}
	*memory.Of(passOver(&states, "east", first)) = 4
	states.Forget(types.NamespacedName{Namespace: testutil.Namespace, Name: testutil.Mesh + "-east"})
	if got := *memory.Of(passOver(&states, "east", first)); got != 0 {
		t.Errorf("of a member that was forgotten: %d, want nothing", got)
	}
}

// TestMemoriesDoNotShare wants two of the same type to be two, also side by side and of a type without a size.
func TestMemoriesDoNotShare(t *testing.T) {
	var parts struct {
		a, b        Memory[int]
		none, other Memory[struct{}]
	}
	pass := passOver(&States{}, "east", connected())
	*parts.a.Of(pass) = 1
	if got := *parts.b.Of(pass); got != 0 {
		t.Errorf("the second has %d, which is the first's", got)
	}
	*parts.b.Of(pass) = 2
	if got := *parts.a.Of(pass); got != 1 {
		t.Errorf("the first has %d, want 1", got)
	}
	parts.none.Of(pass)
	parts.other.Of(pass)
	if got := len(pass.state.memories); got != 4 {
		t.Errorf("%d values are remembered, want one for each", got)
	}
}

// TestTheApplierLastsAsLongAsTheConnection wants what is known of objects that were applied to be kept likewise.
func TestTheApplierLastsAsLongAsTheConnection(t *testing.T) {
	var states States
	first := connected()
	applier := passOver(&states, "east", first).Applier()
	if passOver(&states, "east", first).Applier() != applier {
		t.Error("the next pass has another applier")
	}
	if passOver(&states, "east", connected()).Applier() == applier {
		t.Error("another connection has the applier of the first")
	}
}
