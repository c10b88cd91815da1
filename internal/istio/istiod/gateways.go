package istiod

import (
	"context"

	"k8s.io/client-go/rest"
)

// NetworkGateway is a gateway that istiod sends traffic for another network to.
type NetworkGateway struct {
	// Network that is reached through it.
	Network string
	// Cluster that it is in.
	Cluster string
	// Addr is its IP address; istiod resolves host names.
	Addr string
	// Port for mutual TLS passed through by SNI.
	Port uint32
}

// Gateways asks an istiod pod which network gateways it knows, in all clusters. None is an empty answer.
func Gateways(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]NetworkGateway, error) {
	return askList[NetworkGateway](ctx, cfg, namespace, pod, "/debug/networkz")
}
