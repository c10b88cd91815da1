package istiod

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// service has the shards of one host by namespace.
type service = map[string]struct {
	Shards map[string][]struct {
		Addresses []string
	}
}

// oneHost reads the shards of one Service from istiod's answer, whatever the cluster's domain is.
type oneHost struct {
	// prefix is `<name>.<namespace>.svc.`.
	prefix string
	found  service
}

// UnmarshalJSON reads host after host and keeps the one.
func (h *oneHost) UnmarshalJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("the endpoints are no JSON object: %v", open)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("read a host: %w", err)
		}
		if host, ok := key.(string); ok && strings.HasPrefix(host, h.prefix) {
			if err := d.Decode(&h.found); err != nil {
				return fmt.Errorf("read the endpoints of %s: %w", host, err)
			}
			return nil
		}
		var other json.RawMessage
		if err := d.Decode(&other); err != nil {
			return fmt.Errorf("read the endpoints of %v: %w", key, err)
		}
	}
	return nil
}

// byCluster are the addresses that a registry has, by cluster.
func (h *oneHost) byCluster(registry string) map[string][]string {
	found := map[string][]string{}
	for _, namespace := range h.found {
		for key, endpoints := range namespace.Shards {
			of, cluster, _ := strings.Cut(key, "/")
			if of != registry {
				continue
			}
			for _, e := range endpoints {
				found[cluster] = append(found[cluster], e.Addresses...)
			}
		}
	}
	for cluster, addresses := range found {
		slices.Sort(addresses)
		found[cluster] = slices.Compact(addresses)
	}
	return found
}
