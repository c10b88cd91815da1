package member

import (
	"context"
	"fmt"
	"sync/atomic"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	"github.com/meshfleet/meshfleet/internal/member"
)

// watch starts the watches of Istio's kinds in members. These cannot be watched from the start as the others: a cluster cannot be engaged
// with a kind that it does not have.
type watch struct {
	enqueue atomic.Value // func(types.NamespacedName)
	// started is the cache whose watches are started: that of the present connection, or of a former one.
	started member.Memory[cache.Cache]
}

// events keeps the queue.
func (w *watch) events(_ context.Context, q workqueue.TypedRateLimitingInterface[mcreconcile.Request]) error {
	w.enqueue.Store(func(key types.NamespacedName) { q.Add(request(key)) })
	return nil
}

// istio watches the operator's Istio Gateways in a member, once for each connection. Precondition: the CRDs are applied.
func (w *watch) istio(ctx context.Context, pass *member.Pass) error {
	enqueue, ok := w.enqueue.Load().(func(types.NamespacedName))
	started, of := w.started.Of(pass), pass.Cache()
	if !ok || *started == of {
		return nil
	}
	informer, err := of.GetInformer(ctx, istioGateway(), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch Istio Gateways: %w", err)
	}
	key := pass.Key()
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(any, bool) { enqueue(key) },
		UpdateFunc: func(any, any) { enqueue(key) },
		DeleteFunc: func(any) { enqueue(key) },
	}); err != nil {
		return fmt.Errorf("watch Istio Gateways: %w", err)
	}
	*started = of
	return nil
}

// istioGateway is the kind of Istio that is watched in members.
func istioGateway() *metav1.PartialObjectMetadata {
	gateway := &metav1.PartialObjectMetadata{}
	gateway.SetGroupVersionKind(networkingv1.SchemeGroupVersion.WithKind("Gateway"))
	return gateway
}
