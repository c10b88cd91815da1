package istiod

import (
	"context"
	"time"

	"k8s.io/client-go/rest"
)

// Istiod asks real istiod pods.
type Istiod struct{}

// Clusters is the function of that name.
func (Istiod) Clusters(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]RemoteCluster, error) {
	return Clusters(ctx, cfg, namespace, pod)
}

// Gateways is the function of that name.
func (Istiod) Gateways(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]NetworkGateway, error) {
	return Gateways(ctx, cfg, namespace, pod)
}

// Proxies is the function of that name.
func (Istiod) Proxies(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]Proxy, error) {
	return Proxies(ctx, cfg, namespace, pod)
}

// ProxiesIn is the function of that name.
func (Istiod) ProxiesIn(ctx context.Context, cfg *rest.Config, namespace, pod, of string) ([]Proxy, error) {
	return ProxiesIn(ctx, cfg, namespace, pod, of)
}

// ClusterEndpoints is the function of that name.
func (Istiod) ClusterEndpoints(ctx context.Context, cfg *rest.Config, namespace, pod, cluster string) (map[string][]string, error) {
	return ClusterEndpoints(ctx, cfg, namespace, pod, cluster)
}

// Addresses is the function of that name.
func (Istiod) Addresses(ctx context.Context, cfg *rest.Config, namespace, pod, name string) (map[string][]string, error) {
	return Addresses(ctx, cfg, namespace, pod, name)
}

// SigningEnd is the function of that name.
func (Istiod) SigningEnd(ctx context.Context, cfg *rest.Config, namespace, pod string) (time.Time, error) {
	return SigningEnd(ctx, cfg, namespace, pod)
}
