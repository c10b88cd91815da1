package istiod

import (
	"context"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
)

// Proxy is a client that is connected to an istiod pod. A pod knows only its own.
type Proxy struct {
	// ID is `<pod>.<namespace>`.
	ID string `json:"proxy"`
	// Cluster is the cluster ID of the proxy.
	Cluster string `json:"cluster_id"`
	// Resources are what the proxy watches, by type URL.
	Resources map[string]Resource `json:"resources"`
}

// Resource is what istiod has sent of one type, and what the proxy has said to it.
type Resource struct {
	// Sent and Acked are nonces. They are equal when the proxy has accepted the last that was sent.
	Sent  string `json:"sent"`
	Acked string `json:"acked"`
	// SentAt is when the last was sent, by istiod's clock.
	SentAt time.Time `json:"sentTime"`
	// Error is the proxy's reason for rejecting the last that was sent.
	Error string `json:"lastError"`
}

// Proxies asks an istiod pod which proxies are connected to it and what they have acknowledged.
func Proxies(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]Proxy, error) {
	return askList[Proxy](ctx, cfg, namespace, pod, "/debug/syncz")
}

// ProxiesIn asks an istiod pod which proxies of one namespace are connected to it and what they have acknowledged.
func ProxiesIn(ctx context.Context, cfg *rest.Config, namespace, pod, of string) ([]Proxy, error) {
	return askList[Proxy](ctx, cfg, namespace, pod, "/debug/syncz?namespace="+url.QueryEscape(of))
}
