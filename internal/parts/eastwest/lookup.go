package eastwest

import (
	"context"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// lookupDeadline bounds the time of a pass in which host names are resolved.
	lookupDeadline = 3 * time.Second
	// lookupPace is how often a host name is resolved.
	lookupPace = 15 * time.Second
)

// lookup remembers what a host name was resolved to. Without addresses, it could not be.
type lookup struct {
	addresses []string
	at        time.Time
}

// resolved are the IP addresses of host names as the hub resolves them. A name that cannot be resolved has none.
func (s *Steps) resolved(ctx context.Context, memory *memory, listed []string, now time.Time) map[string][]string {
	ctx, cancel := context.WithTimeout(ctx, lookupDeadline)
	defer cancel()
	former, out := memory.lookups, map[string][]string{}
	memory.lookups = map[string]lookup{}
	for _, name := range listed {
		if isIP(name) {
			continue
		}
		last, isKnown := former[name]
		if !isKnown || now.Sub(last.at) >= lookupPace {
			found, err := s.Resolve(ctx, name)
			if err != nil {
				log.FromContext(ctx).V(1).Info("Could not resolve the address of a gateway", "name", name, "reason", err.Error())
			}
			slices.Sort(found)
			last = lookup{addresses: found, at: now}
		}
		memory.lookups[name] = last
		out[name] = last.addresses
	}
	return out
}
