//go:build linux

package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const retryDelay = time.Second

// Interface changes the addresses of the node.
type Interface struct {
	Add, Remove func(netip.Addr) error
}

// Controller runs inside the node and owns the pool. Its memory is rebuilt from the Services' status.
type Controller struct {
	client kubernetes.Interface
	node   Interface

	mu       sync.Mutex
	pool     *pool
	assigned map[string]string
}

// New returns a controller for a pool of addresses.
func New(client kubernetes.Interface, addresses []netip.Addr, node Interface) *Controller {
	return &Controller{client: client, node: node, pool: newPool(addresses)}
}

// Assigned returns the addresses in use by namespace/name.
func (c *Controller) Assigned() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.assigned
}

// Run ends with the context. All Services are looked at on every change: there are few of them, and nothing can be
// missed that way.
func (c *Controller) Run(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(c.client, 0)
	services := factory.Core().V1().Services()
	wake := make(chan struct{}, 1)
	notify := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	_, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	})
	if err != nil {
		log.Printf("Watching Services failed: %v", err)
		return
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), services.Informer().HasSynced) {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		if err := c.sync(ctx, services.Lister()); err != nil {
			log.Printf("Assigning addresses failed: %v", err)
			time.AfterFunc(retryDelay, notify)
		}
	}
}

func (c *Controller) sync(ctx context.Context, lister corelisters.ServiceLister) error {
	all, err := lister.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	ours := slices.DeleteFunc(slices.Clone(all), func(s *corev1.Service) bool { return !isOurs(s) })

	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, address := range c.pool.release(ours) {
		errs = append(errs, c.node.Remove(address))
	}
	addresses, without := c.pool.assign(ours)
	names := map[string]string{}
	for _, service := range ours {
		if address, ok := addresses[service.UID]; ok {
			names[service.Namespace+"/"+service.Name] = address.String()
			errs = append(errs, c.publish(ctx, service, address))
		}
	}
	for _, service := range without {
		log.Printf("No address is left for Service %s/%s", service.Namespace, service.Name)
	}
	c.assigned = names
	return errors.Join(errs...)
}

// publish makes the node answer before it tells anyone of the address.
func (c *Controller) publish(ctx context.Context, service *corev1.Service, address netip.Addr) error {
	ingress := service.Status.LoadBalancer.Ingress
	if len(ingress) == 1 && ingress[0].IP == address.String() {
		// Also after a restart of this process, when the address may be missing.
		return c.node.Add(address)
	}
	if err := c.node.Add(address); err != nil {
		return err
	}
	updated := service.DeepCopy()
	updated.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: address.String()}}
	_, err := c.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, updated, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // the watch brings the newer state
	}
	if err != nil {
		return fmt.Errorf("publish address of service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return nil
}
