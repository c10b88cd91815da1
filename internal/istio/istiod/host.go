package istiod

import (
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

// read reads host after host, up to the one, and keeps that.
func (h *oneHost) read(d *json.Decoder) error {
	return eachKey(d, func(host string) (bool, error) {
		if strings.HasPrefix(host, h.prefix) {
			if err := d.Decode(&h.found); err != nil {
				return false, fmt.Errorf("read the endpoints of %s: %w", host, err)
			}
			return false, nil
		}
		if err := skip(d); err != nil {
			return false, fmt.Errorf("read the endpoints of %s: %w", host, err)
		}
		return true, nil
	})
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
