package fleet

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
)

// engagedCluster is a member as controllers see it while they engage it. A controller holds its lock then, so waiting
// for the caches of a member whose API server hangs would keep every other member out. Event handlers that are added
// to an informer before it has synced get everything that it finds later.
type engagedCluster struct {
	cluster.Cluster
}

func (c *engagedCluster) GetCache() cache.Cache { return engagedCache{c.Cluster.GetCache()} }

type engagedCache struct {
	cache.Cache
}

func (c engagedCache) GetInformer(ctx context.Context, obj client.Object, opts ...cache.InformerGetOption) (cache.Informer, error) {
	return c.Cache.GetInformer(ctx, obj, append(opts, cache.BlockUntilSynced(false))...)
}

func (c engagedCache) GetInformerForKind(ctx context.Context, gvk schema.GroupVersionKind, opts ...cache.InformerGetOption) (cache.Informer, error) {
	return c.Cache.GetInformerForKind(ctx, gvk, append(opts, cache.BlockUntilSynced(false))...)
}

func (c engagedCache) WaitForCacheSync(context.Context) bool { return true }
