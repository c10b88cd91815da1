package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Metadata reads metadata of the operator's objects in a member: from the cache where that is filled, else from the API server. A
// read through a cache that is never filled, because the credential may not list or watch a kind, would never end.
type Metadata struct {
	cache  cache.Cache
	direct client.Reader
	scheme *runtime.Scheme

	mu sync.Mutex
	// since is when the cache of a kind was first found not filled.
	since map[schema.GroupVersionKind]time.Time
}

// NewMetadata makes a reader of the kinds in a scheme.
func NewMetadata(cached cache.Cache, direct client.Reader, scheme *runtime.Scheme) *Metadata {
	return &Metadata{cache: cached, direct: direct, scheme: scheme, since: map[schema.GroupVersionKind]time.Time{}}
}

// Get reads the metadata of one object.
func (m *Metadata) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	reader, err := m.readerOf(ctx, o.GetObjectKind().GroupVersionKind())
	if err != nil {
		return err
	}
	return reader.Get(ctx, key, o, opts...)
}

// List reads the metadata of objects. Read from the API server, those are all that the options select, also such as the cache
// leaves out.
func (m *Metadata) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk := list.GetObjectKind().GroupVersionKind()
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	reader, err := m.readerOf(ctx, gvk)
	if err != nil {
		return err
	}
	return reader.List(ctx, list, opts...)
}

func (m *Metadata) readerOf(ctx context.Context, gvk schema.GroupVersionKind) (client.Reader, error) {
	isSynced, err := m.isSynced(ctx, gvk)
	if err != nil {
		return nil, err
	}
	if isSynced {
		return m.cache, nil
	}
	return m.direct, nil
}

func (m *Metadata) isSynced(ctx context.Context, gvk schema.GroupVersionKind) (bool, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(gvk)
	informer, err := m.cache.GetInformer(ctx, o, cache.BlockUntilSynced(false))
	if err != nil {
		return false, fmt.Errorf("cache of %s: %w", gvk.Kind, err)
	}
	return informer.HasSynced(), nil
}

// Unsynced are the kinds among these whose cache has not been filled for so long, sorted. A kind that the member does not have
// is none of them.
func (m *Metadata) Unsynced(ctx context.Context, kinds []client.Object, least time.Duration, now time.Time) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, kind := range kinds {
		gvk, err := apiutil.GVKForObject(kind, m.scheme)
		if err != nil {
			continue
		}
		if isSynced, err := m.isSynced(ctx, gvk); err != nil || isSynced {
			delete(m.since, gvk)
			continue
		}
		if m.since[gvk].IsZero() {
			m.since[gvk] = now
		}
		if now.Sub(m.since[gvk]) >= least {
			out = append(out, gvk.Kind)
		}
	}
	slices.Sort(out)
	return out
}
