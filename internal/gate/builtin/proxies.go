package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const proxyContainer = "istio-proxy"

// proxiesSyncedName is the gate's name in the API.
const proxiesSyncedName = "ProxiesSynced"

// proxiesSynced passes when every proxy that is connected has answered all that was sent to it, and every pod with
// a proxy of the revision is connected. Whether it may reject something is for the gate ConfigAccepted to judge. In a large mesh something is always being sent to some proxy: only those count that
// two looks in a row find behind.
func proxiesSynced(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	answers, err := askAll(ctx, m, m.To, istiod.Proxies)
	if err != nil {
		return gate.Answer{}, err
	}
	pods, err := injectedPods(ctx, m)
	if err != nil {
		return gate.Answer{}, err
	}
	newest, err := newestIstiod(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	return judgeProxies(m, answers, pods, newest), nil
}

// injectedPod is what is kept of a pod with a proxy of the revision.
type injectedPod struct {
	id      string
	ready   bool
	since   time.Time // when it got ready
	trouble string
	// isGateway means that istiod made it for a Gateway of the Gateway API, and isProxyless that it need not be connected.
	isGateway, isProxyless bool
}

func injectedPods(ctx context.Context, m *gate.Subject) ([]injectedPod, error) {
	var pods []injectedPod
	list := &corev1.PodList{}
	for {
		if err := m.Client.List(ctx, list, client.HasLabels{gate.InjectedLabel}, client.Limit(gate.PageSize), client.Continue(list.Continue)); err != nil {
			return nil, fmt.Errorf("list injected pods: %w", err)
		}
		for i := range list.Items {
			p := &list.Items[i]
			if istio.InjectedRevision(p) == m.To && p.DeletionTimestamp == nil && !istio.HasFinished(p) {
				pods = append(pods, inspect(p, m.Now))
			}
		}
		if list.Continue == "" {
			return pods, nil
		}
	}
}

func inspect(p *corev1.Pod, now time.Time) injectedPod {
	return injectedPod{id: istio.ProxyID(p), ready: istio.IsReady(p), since: readySince(p), isGateway: p.Labels[istio.ManagedGatewayLabel] != "",
		isProxyless: istio.IsProxyless(p), trouble: stuck(p, now, grace, injectedContainers(p))}
}

// injectedContainers separates containers that istiod has added from those of the workload, which may have been in trouble
// before.
func injectedContainers(p *corev1.Pod) func(string) bool {
	var status struct{ InitContainers, Containers []string }
	_ = json.Unmarshal([]byte(p.Annotations[istio.InjectedAnnotation]), &status)
	return func(name string) bool {
		return name == proxyContainer || slices.Contains(status.InitContainers, name) || slices.Contains(status.Containers, name)
	}
}

// unsynced are proxies that are behind, though not for long, and why: by ID.
type unsynced map[string]string

// alsoIn are those that another look has shown too.
func (u unsynced) alsoIn(other unsynced) unsynced {
	out := maps.Clone(u)
	maps.DeleteFunc(out, func(id, _ string) bool { return other[id] == "" })
	return out
}

// String lists them.
func (u unsynced) String() string {
	var out []string
	for id, why := range u {
		out = append(out, id+" "+why)
	}
	return mesh.Capped(out)
}

// judgeProxies allows proxies time to come back after an istiod pod has started: they wait longer after each attempt.
func judgeProxies(m *gate.Subject, answers map[string][]istiod.Proxy, pods []injectedPod, newestIstiod time.Time) gate.Answer {
	if len(answers) == 0 {
		return gate.NoIstiod(m.To)
	}
	synced, behind := map[string]bool{}, map[string]lag{}
	for _, proxies := range answers {
		for _, p := range proxies {
			switch l, isProxy := behindBy(p, m.Now); {
			case !isProxy:
			case l.what == "":
				synced[p.ID] = true
			default:
				behind[p.ID] = l
			}
		}
	}
	var bad, stuckPods []string
	pending := unsynced{}
	for id, l := range behind {
		switch {
		case synced[id]:
			// It has moved to another istiod pod, and this connection is what is left of the former one.
		case l.isOld:
			bad = append(bad, id+" "+l.what)
		default:
			pending[id] = l.what
		}
	}
	for _, p := range pods {
		_, isBehind := behind[p.id]
		switch {
		case p.trouble != "":
			stuckPods = append(stuckPods, p.id+": "+p.trouble)
		case synced[p.id] || isBehind || p.isProxyless:
		case p.ready && m.Now.Sub(p.since) > grace && m.Now.Sub(newestIstiod) > grace:
			bad = append(bad, p.id+" is not connected to any istiod pod")
		case p.ready:
			pending[p.id] = "is not connected yet"
		case len(synced) == 0:
			pending[p.id] = "is starting"
		}
	}
	before := gate.Recall[unsynced](m, proxiesSyncedName)
	if before != nil && len(synced) > 0 {
		pending = pending.alsoIn(*before)
	}
	if len(pending) > 0 {
		gate.Note(m, proxiesSyncedName, &pending)
	} else {
		gate.Note[unsynced](m, proxiesSyncedName, nil)
	}
	switch {
	case len(stuckPods) > 0:
		return gate.Fail("%s", mesh.Capped(append(stuckPods, bad...)))
	case len(bad) > 0:
		return gate.Fail("%s", mesh.Capped(bad))
	case len(pending) > 0 && before == nil:
		return m.Unconfirmed(proxiesSyncedName, "%s; looks again", pending)
	case len(pending) > 0:
		return gate.Inconclusive("%s", pending)
	case len(synced) == 0:
		return gate.Pass("no proxies yet")
	}
	return gate.Pass("every proxy has answered; proxies: %d", len(synced))
}

// envoyTypes is the prefix of the types that proxies watch.
const envoyTypes = "type.googleapis.com/"

// lag is what a proxy has not acknowledged.
type lag struct {
	what  string
	isOld bool
}

// behindBy is what a proxy has not answered. What it has rejected is for the gate ConfigAccepted to judge. Clients that only debug
// watch nothing that Envoy has a type for.
func behindBy(p istiod.Proxy, now time.Time) (l lag, isProxy bool) {
	if len(p.Resources) == 0 {
		return lag{what: "has just connected"}, true
	}
	var waiting []string
	for typeURL, r := range p.Resources {
		name, found := strings.CutPrefix(typeURL, envoyTypes)
		if !found {
			continue
		}
		isProxy = true
		name = name[strings.LastIndexByte(name, '.')+1:]
		if r.Error == "" && r.Sent != r.Acked {
			waiting = append(waiting, name)
			l.isOld = l.isOld || now.Sub(r.SentAt) > grace
		}
	}
	if len(waiting) > 0 {
		l.what = "has not acknowledged " + mesh.Capped(waiting)
	}
	return l, isProxy
}
