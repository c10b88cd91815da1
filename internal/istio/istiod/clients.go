package istiod

import (
	"context"
	"encoding/json"
	"strings"

	"k8s.io/client-go/rest"
)

// Node types of Istio.
const (
	Sidecar = "sidecar"
	Router  = "router"
)

// instanceIPs is the metadata field with the addresses of a proxy, separated by commas.
const instanceIPs = "INSTANCE_IPS"

// Client is a proxy that is connected to an istiod pod, with all that istiod makes its configuration from.
type Client struct {
	// ID is `<pod>.<namespace>`.
	ID string
	// Type is sidecar, router, waypoint or ztunnel.
	Type string
	// Labels are those of the workload, as istiod knows them.
	Labels map[string]string
	// Metadata is what the proxy has said of itself, without what istiod has no field for.
	Metadata map[string]any
	// Locality may be nil.
	Locality *Locality
}

// Locality is where a proxy runs.
type Locality struct {
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	SubZone string `json:"sub_zone"`
}

// Text is a metadata field that is a string, or empty.
func (c Client) Text(field string) string {
	text, _ := c.Metadata[field].(string)
	return text
}

// Clients asks an istiod pod which proxies are connected to it. Connections that have not told a type yet are left out,
// and so are those of FetchConfig.
func Clients(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]Client, error) {
	types, err := askList[clientType](ctx, cfg, namespace, pod, "/debug/syncz")
	if err != nil {
		return nil, err
	}
	typeOf := make(map[string]string, len(types))
	for _, t := range types {
		typeOf[t.ID] = t.Type
	}
	var clients []Client
	err = ask(ctx, cfg, namespace, pod, "/debug/adsz", func(d *json.Decoder) error {
		clients = nil
		return eachKey(d, func(name string) (bool, error) {
			if name != "clients" {
				return true, skip(d)
			}
			return true, eachElement(d, func(c adsClient) {
				if client := c.of(typeOf); client.Type != "" && !isTwin(client) {
					clients = append(clients, client)
				}
			})
		})
	})
	return clients, err
}

// clientType is what /debug/syncz has of a proxy besides what is in Proxy.
type clientType struct {
	ID   string `json:"proxy"`
	Type string `json:"proxy_type"`
}

// adsClient is what /debug/adsz has of a connection.
type adsClient struct {
	ConnectionID string            `json:"connectionId"`
	Labels       map[string]string `json:"labels"`
	Metadata     map[string]any    `json:"metadata"`
	Locality     *Locality         `json:"locality"`
}

// of is the client of a connection, whose ID is the proxy's with a number.
func (c *adsClient) of(typeOf map[string]string) Client {
	id := c.ConnectionID
	if i := strings.LastIndexByte(id, '-'); i >= 0 {
		id = id[:i]
	}
	return Client{ID: id, Type: typeOf[id], Labels: c.Labels, Metadata: c.Metadata, Locality: c.Locality}
}
