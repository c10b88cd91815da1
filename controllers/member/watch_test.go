package member

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// playedCache counts the handlers of its one informer.
type playedCache struct {
	cache.Cache
	cache.Informer
	handlers int
}

func (c *playedCache) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return c, nil
}

func (c *playedCache) AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	c.handlers++
	return nil, nil
}

// playedCluster has a cache.
type playedCluster struct {
	cluster.Cluster
	cache *playedCache
}

func (c playedCluster) GetCache() cache.Cache { return c.cache }

// TestWatchesOfEachConnection wants Istio's kinds to be watched once over each connection, also when a new credential brings a new one to the same
// cluster, over which the rest of what is known is kept.
func TestWatchesOfEachConnection(t *testing.T) {
	var states member.States
	w := &watch{}
	w.enqueue.Store(func(types.NamespacedName) {})
	for _, name := range []string{"the first", "the second"} {
		played := &playedCache{}
		connection := &fleet.Connection{ClusterUID: "uid", Client: fake.NewClientBuilder().Build(), Cluster: playedCluster{cache: played}}
		for range 3 {
			pass := &member.Pass{Object: testutil.Member("east"), Now: testutil.Now}
			pass.Attach(states.Of(pass, connection))
			testutil.Must(t, w.istio(t.Context(), pass))
		}
		if played.handlers != 1 {
			t.Errorf("over %s connection %d handlers are added, want 1", name, played.handlers)
		}
	}
}
