package membertest

import (
	"context"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// Istiod answers for its proxies, the same from every pod. Other questions must be answered by the embedded interface.
type Istiod struct {
	member.Istiod
	// Connected are the proxies that it answers with, or else Err.
	Connected []istiod.Proxy
	Err       error
	// Asked counts the questions for proxies.
	Asked int
}

// Proxies answers with Connected or Err.
func (i *Istiod) Proxies(context.Context, *rest.Config, string, string) ([]istiod.Proxy, error) {
	i.Asked++
	return i.Connected, i.Err
}

// ProxiesIn answers with those of Connected that are in a namespace, or Err.
func (i *Istiod) ProxiesIn(_ context.Context, _ *rest.Config, _, _, of string) ([]istiod.Proxy, error) {
	i.Asked++
	return slices.DeleteFunc(slices.Clone(i.Connected), func(p istiod.Proxy) bool { return !strings.HasSuffix(p.ID, "."+of) }), i.Err
}

// SigningEnd is that of an istiod that signs for no workloads.
func (i *Istiod) SigningEnd(context.Context, *rest.Config, string, string) (time.Time, error) {
	return time.Time{}, nil
}

// endpoints is the type of what istiod tells proxies of addresses with.
const endpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

// Proxy is a connected proxy of cluster east that was last sent endpoints so long before testutil.Now, and has acknowledged them unless
// changed.
func Proxy(id string, ago time.Duration, change ...func(*istiod.Resource)) istiod.Proxy {
	r := istiod.Resource{Sent: "a", Acked: "a", SentAt: testutil.Now.Add(-ago)}
	for _, c := range change {
		c(&r)
	}
	return istiod.Proxy{ID: id, Cluster: "east", Resources: map[string]istiod.Resource{endpoints: r}}
}

// Unacknowledged is what a proxy was sent and has not acknowledged.
func Unacknowledged(r *istiod.Resource) { r.Acked = "before" }
