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

// connectedTo is a connection to a cluster.
func connectedTo(uid string) *fleet.Connection {
	c := connected()
	c.ClusterUID = uid
	return c
}

// passOver is another pass over a member.
func passOver(states *States, name string, connection *fleet.Connection) *Pass {
	pass := &Pass{Object: testutil.Member(name), Now: testutil.Now}
	pass.Attach(states.Of(pass, connection))
	return pass
}

// TestMemoryLastsAsLongAsTheCluster wants what a part remembers of a member to be kept from pass to pass, and nothing over a connection to a
// cluster that is not known to be the same.
func TestMemoryLastsAsLongAsTheCluster(t *testing.T) {
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

// TestMemoryOutlastsTheCredential wants nothing to be forgotten when only the credential changes, however often: waits that begin again with each
// would never end.
func TestMemoryOutlastsTheCredential(t *testing.T) {
	var states States
	var memory Memory[int]
	*memory.Of(passOver(&states, "east", connectedTo("a"))) = 3
	for range 3 {
		if got := *memory.Of(passOver(&states, "east", connectedTo("a"))); got != 3 {
			t.Errorf("over another connection to the same cluster: %d, want what was remembered", got)
		}
	}
	latest := connectedTo("a")
	*memory.Of(passOver(&states, "east", latest)) = 4
	if pass := passOver(&states, "east", latest); *memory.Of(pass) != 4 || pass.Remote != latest.Client {
		t.Errorf("%d is remembered, want 4, over the latest connection", *memory.Of(pass))
	}
	if got := *memory.Of(passOver(&states, "east", connectedTo("b"))); got != 0 {
		t.Errorf("over a connection to another cluster: %d, want nothing", got)
	}
	if got := *memory.Of(passOver(&states, "east", connectedTo("a"))); got != 0 {
		t.Errorf("back in the first cluster: %d, want nothing", got)
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
