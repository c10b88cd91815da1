package builtin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// proxyRejection is configuration of one type that a proxy rejects now.
type proxyRejection struct{ proxy, kind, reason string }

func (r proxyRejection) String() string {
	return r.proxy + " rejects " + r.kind + ": " + mesh.Shorten(r.reason, 200)
}

func (r proxyRejection) key() string { return r.proxy + " " + r.kind }

func (r proxyRejection) place() place { return placeOf(r.proxy, r.kind) }

// place is where rejections are compared: proxies of one namespace, and one type of configuration.
type place struct{ namespace, kind string }

func placeOf(proxy, kind string) place {
	return place{namespace: proxy[strings.LastIndexByte(proxy, '.')+1:], kind: kind}
}

// rejectionsIn are the rejections that no later push has cured, sorted, and the proxies that accept what they were sent last, by place. Of
// several connections of a proxy the one counts to which istiod has sent last: the others are left over.
func rejectionsIn(answers map[string][]istiod.Proxy) (rejected []proxyRejection, accepting map[place][]string) {
	latest := map[proxyRejection]istiod.Resource{}
	for _, proxies := range answers {
		for _, p := range proxies {
			for typeURL, r := range p.Resources {
				name, isEnvoys := strings.CutPrefix(typeURL, envoyTypes)
				if !isEnvoys {
					continue
				}
				key := proxyRejection{proxy: p.ID, kind: name[strings.LastIndexByte(name, '.')+1:]}
				if other, found := latest[key]; !found || r.SentAt.After(other.SentAt) {
					latest[key] = r
				}
			}
		}
	}
	accepting = map[place][]string{}
	for key, r := range latest {
		switch {
		case r.Error != "":
			key.reason = r.Error
			rejected = append(rejected, key)
		case r.Sent != "" && r.Sent == r.Acked:
			accepting[key.place()] = append(accepting[key.place()], key.proxy)
		}
	}
	slices.SortFunc(rejected, func(a, b proxyRejection) int {
		return cmp.Or(strings.Compare(a.proxy, b.proxy), strings.Compare(a.kind, b.kind))
	})
	return rejected, accepting
}

// formerRejections are what proxies of the former revision were seen to do in the course of an upgrade.
type formerRejections struct {
	asked time.Time
	// rejecting are the proxies that rejected something when they were last seen.
	rejecting map[place]map[string]bool
	// acceptedAt is when a proxy was last seen to accept.
	acceptedAt map[place]time.Time
}

// note adds what is seen now. A proxy that is gone stays as it was last seen.
func (f *formerRejections) note(answers map[string][]istiod.Proxy, now time.Time) {
	if f.rejecting == nil {
		f.rejecting, f.acceptedAt = map[place]map[string]bool{}, map[place]time.Time{}
	}
	f.asked = now
	rejected, accepting := rejectionsIn(answers)
	for at, proxies := range accepting {
		f.acceptedAt[at] = now
		for _, proxy := range proxies {
			delete(f.rejecting[at], proxy)
		}
	}
	for _, r := range rejected {
		if f.rejecting[r.place()] == nil {
			f.rejecting[r.place()] = map[string]bool{}
		}
		f.rejecting[r.place()][r.proxy] = true
	}
}

// metricTypes are istiod's names of types in its metrics.
var metricTypes = map[string]string{
	"Cluster": "cds", "ClusterLoadAssignment": "eds", "Listener": "lds", "RouteConfiguration": "rds",
	"TypedExtensionConfig": "ecds", "Secret": "sds",
}

// hasCounted is true if a rejection was counted at a place since the start of istiod, as far as its metrics tell: some types are not
// counted by proxy.
func hasCounted(answers map[string]map[string][]istiod.Sample, at place) bool {
	kind := metricTypes[at.kind]
	for _, metrics := range answers {
		byProxy := metrics["pilot_xds_"+kind+"_reject"]
		for _, s := range byProxy {
			if s.Value > 0 && placeOf(s.Labels["node"], at.kind) == at {
				return true
			}
		}
		for _, s := range metrics["pilot_total_xds_rejects"] {
			if len(byProxy) == 0 && s.Value > 0 && s.Labels["type"] == kind {
				return true
			}
		}
	}
	return false
}

// counters are counts of errors, by what is counted and by istiod pod.
type counters map[string]map[string]float64

// errorsIn are the errors that istiod pods have counted while sending, and internal ones.
func errorsIn(answers map[string]map[string][]istiod.Sample) counters {
	c := counters{}
	add := func(what, pod string, value float64) {
		if c[what] == nil {
			c[what] = map[string]float64{}
		}
		c[what][pod] += value
	}
	for pod, metrics := range answers {
		for _, s := range metrics["pilot_xds_pushes"] {
			if kind, isError := strings.CutSuffix(s.Labels["type"], "_senderr"); isError {
				add("unsent "+kind, pod, s.Value)
			}
		}
		for _, s := range metrics["pilot_total_xds_internal_errors"] {
			add("internal errors", pod, s.Value)
		}
	}
	return c
}

// grown is how much was counted since earlier counters. A pod that counts less than before has started again.
func (c counters) grown(what string, before counters) (n float64) {
	for pod, count := range c[what] {
		if former := before[what][pod]; former <= count {
			count -= former
		}
		n += count
	}
	return n
}

func (c counters) hasGrown(before counters) bool {
	for what := range c {
		if c.grown(what, before) > 0 {
			return true
		}
	}
	return false
}
