package fleet

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// playedCache has informers of which some are never filled. A read of such a kind waits until its context ends, as
// controller-runtime's does.
type playedCache struct {
	cache.Cache
	objects  client.Client
	unfilled map[string]bool
}

type playedInformer struct {
	cache.Informer
	isSynced bool
}

func (i playedInformer) HasSynced() bool { return i.isSynced }

func (c *playedCache) GetInformer(_ context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	return playedInformer{isSynced: !c.unfilled[o.GetObjectKind().GroupVersionKind().Kind]}, nil
}

func (c *playedCache) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if c.unfilled[o.GetObjectKind().GroupVersionKind().Kind] {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.objects.Get(ctx, key, o, opts...)
}

func (c *playedCache) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if c.unfilled[list.GetObjectKind().GroupVersionKind().Kind] || c.unfilled["Secret"] {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.objects.List(ctx, list, opts...)
}

// TestMetadataNeverWaitsForACache reads a kind whose cache is never filled, and one whose cache is.
func TestMetadataNeverWaitsForACache(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "a"}}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "b"}}
	// The cache alone has the ConfigMap: reading it from the API server would fail.
	cached := &playedCache{objects: fake.NewClientBuilder().WithObjects(settings).Build(), unfilled: map[string]bool{"Secret": true}}
	m := NewMetadata(cached, fake.NewClientBuilder().WithObjects(secret).Build(), scheme.Scheme)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for kind, key := range map[string]client.ObjectKey{"Secret": client.ObjectKeyFromObject(secret), "ConfigMap": client.ObjectKeyFromObject(settings)} {
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
		if err := m.Get(ctx, key, o); err != nil {
			t.Errorf("get %s: %v", kind, err)
		}
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := m.List(ctx, list); err != nil || len(list.Items) != 1 {
		t.Errorf("list Secrets: %d, %v", len(list.Items), err)
	}
}

func TestUnsynced(t *testing.T) {
	cached := &playedCache{unfilled: map[string]bool{"Secret": true}}
	m := NewMetadata(cached, nil, scheme.Scheme)
	kinds := []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, step := range []struct {
		after  time.Duration
		filled bool
		want   []string
	}{
		{after: 0},
		{after: 59 * time.Second},
		{after: time.Minute, want: []string{"Secret"}},
		{after: 2 * time.Minute, filled: true},
		{after: 3 * time.Minute},
		{after: 4 * time.Minute, want: []string{"Secret"}},
	} {
		cached.unfilled["Secret"] = !step.filled
		got := m.Unsynced(t.Context(), kinds, time.Minute, start.Add(step.after))
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.after, diff)
		}
	}
}
