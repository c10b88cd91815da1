package member

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

// AskIstiod bounds a question to one istiod pod about its clusters and gateways. Answers with proxies or endpoints have the deadlines of
// package istiod, which grow with what arrives.
const AskIstiod = 5 * time.Second

// Istiod answers for one istiod pod.
type Istiod interface {
	// Clusters that it reads.
	Clusters(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]istiod.RemoteCluster, error)
	// Gateways of networks that it knows.
	Gateways(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]istiod.NetworkGateway, error)
	// Proxies that are connected to it.
	Proxies(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]istiod.Proxy, error)
	// ProxiesIn are those of one namespace.
	ProxiesIn(ctx context.Context, cfg *rest.Config, namespace, pod, of string) ([]istiod.Proxy, error)
	// Addresses of one Service of its own namespace that it knows, by cluster.
	Addresses(ctx context.Context, cfg *rest.Config, namespace, pod, name string) (map[string][]string, error)
	// ClusterEndpoints that it knows of one cluster.
	ClusterEndpoints(ctx context.Context, cfg *rest.Config, namespace, pod, cluster string) (map[string][]string, error)
}

// Proxies asks one istiod pod which proxies are connected to it, without clients that only debug: these watch nothing that Envoy has a
// type for.
func Proxies(ctx context.Context, i Istiod, config *rest.Config, pod *corev1.Pod) ([]istiod.Proxy, error) {
	proxies, err := i.Proxies(ctx, config, pod.Namespace, pod.Name)
	if err != nil {
		return nil, fmt.Errorf("ask istiod pod %s for its proxies: %w", pod.Name, err)
	}
	return slices.DeleteFunc(proxies, func(p istiod.Proxy) bool {
		for typeURL := range p.Resources {
			if strings.HasPrefix(typeURL, "type.googleapis.com/") {
				return false
			}
		}
		return len(p.Resources) > 0
	}), nil
}
