package eastwest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// acceptedPace is how often istiod is asked whether Envoy accepts the gateway's listeners, and rejectedPace while it does not, or
	// while the gateway's pods are not complete.
	acceptedPace, rejectedPace = time.Minute, 30 * time.Second
	// rejectionPatience is how long a rejection must stand to be a person's: configuration of users may be wrong for a moment.
	rejectionPatience = time.Minute
	// reasonBytes bounds what is quoted of Envoy.
	reasonBytes = 300
	// listenerType is the type of configuration that Envoy listens by.
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
)

// acceptance is what was last seen of the listeners of a gateway.
type acceptance struct {
	// gateway is its name, and isComplete is whether its pods were.
	gateway    string
	isComplete bool
	// at is when istiod was asked, since is when a rejection was first seen.
	at, since time.Time
	// pods is the number of the gateway's pods; rejecting are those whose Envoy rejects its listeners, with its words.
	pods      int
	rejecting []string
	// others are the Gateways, besides the operator's, with a server at the same port of these pods.
	others []string
	// err is why istiod or the API server could not tell.
	err error
}

// pace is after how long to ask again.
func (a *acceptance) pace() time.Duration {
	if len(a.rejecting) > 0 || !a.isComplete {
		return rejectedPace
	}
	return acceptedPace
}

// accepted brings up to date what is known of the listeners of the gateway, if that is due.
func (s *Steps) accepted(ctx context.Context, pass *member.Pass, memory *memory, name string, isComplete bool) *acceptance {
	a := &memory.accepted
	if a.gateway == name && a.isComplete == isComplete && pass.Now.Sub(a.at) < a.pace() {
		return a
	}
	next := acceptance{gateway: name, isComplete: isComplete, at: pass.Now}
	if next.err = s.askAccepted(ctx, pass, &next); next.err != nil && a.gateway == name {
		// What was seen still counts.
		next.pods, next.rejecting, next.others = a.pods, a.rejecting, a.others
	}
	if len(next.rejecting) > 0 {
		if next.since = a.since; a.gateway != name || a.since.IsZero() {
			next.since = pass.Now
		}
	}
	*a = next
	return a
}

// askAccepted reads the gateway's pods and what istiod knows of them.
func (s *Steps) askAccepted(ctx context.Context, pass *member.Pass, a *acceptance) error {
	list := &corev1.PodList{}
	if err := pass.Remote.List(ctx, list, client.InNamespace(pass.Namespace()), client.MatchingLabels{"istio": mesh.GatewayLabel}); err != nil {
		return fmt.Errorf("list the pods of gateways: %w", err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !isOf(&p, a.gateway) || p.DeletionTimestamp != nil })
	if a.pods = len(pods); a.pods == 0 {
		return nil
	}
	others, err := otherGateways(ctx, pass, pods[0].Labels)
	if err != nil {
		return err
	}
	a.others = others
	istiods, err := member.ServingIstiods(ctx, pass.Remote, &pass.Object.Spec)
	if err != nil {
		return err
	}
	var answers [][]istiod.Proxy
	for i := range istiods {
		proxies, err := s.askProxies(ctx, pass, &istiods[i])
		if err != nil {
			return err
		}
		answers = append(answers, proxies)
	}
	a.rejecting = rejecting(pods, answers)
	return nil
}

func (s *Steps) askProxies(ctx context.Context, pass *member.Pass, pod *corev1.Pod) ([]istiod.Proxy, error) {
	ctx, cancel := context.WithTimeout(ctx, member.AskIstiod)
	defer cancel()
	proxies, err := s.Istiod.ProxiesIn(ctx, pass.Config(), pod.Namespace, pod.Name, pass.Namespace())
	if err != nil {
		return nil, fmt.Errorf("ask istiod pod %s for the gateway's proxies: %w", pod.Name, err)
	}
	return proxies, nil
}

// isOf is true for a pod of the Deployment of a gateway.
func isOf(p *corev1.Pod, gateway string) bool {
	return p.GenerateName == gateway+"-"+p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]+"-"
}

// otherGateways are the Gateways, besides the operator's, with a server at the port of peers of pods with these labels.
func otherGateways(ctx context.Context, pass *member.Pass, pod map[string]string) ([]string, error) {
	var others []string
	list := istio.GatewayList()
	if err := member.Pages(ctx, pass.Remote, list, func() error {
		for i := range list.Items {
			g := &list.Items[i]
			if !isListener(g, pass.Namespace()) && istio.HasServerAt(g, pod, istio.PassthroughPort) {
				others = append(others, g.GetNamespace()+"/"+g.GetName())
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list Gateways: %w", err)
	}
	slices.Sort(others)
	return others, nil
}

// isListener is true for the operator's own Gateway.
func isListener(g *unstructured.Unstructured, namespace string) bool {
	return g.GetNamespace() == namespace && g.GetName() == crossNetworkName
}

// rejecting are the pods whose Envoy rejects its listeners, with its words. Of several connections of a proxy the one counts to which
// istiod has sent last: the others are left over.
func rejecting(pods []corev1.Pod, answers [][]istiod.Proxy) []string {
	latest := map[string]istiod.Resource{}
	for _, proxies := range answers {
		for _, p := range proxies {
			if r, watches := p.Resources[listenerType]; watches && !r.SentAt.Before(latest[p.ID].SentAt) {
				latest[p.ID] = r
			}
		}
	}
	var out []string
	for i := range pods {
		if r := latest[pods[i].Name+"."+pods[i].Namespace]; r.Error != "" {
			out = append(out, pods[i].Name+": "+mesh.Shorten(r.Error, reasonBytes))
		}
	}
	slices.Sort(out)
	return out
}

// refusal is the result for a gateway whose Envoy rejects its listeners, or nil.
func (a *acceptance) refusal(now time.Time) *phase.Result {
	if len(a.rejecting) == 0 {
		return nil
	}
	text := fmt.Sprintf("Envoy rejects the listeners of %d of %d pods of %s: %s; ", len(a.rejecting), a.pods, a.gateway, a.rejecting[0])
	if len(a.others) > 0 {
		text += a.duplicates() + ". Pods that run keep the listener that they accepted last; a new pod has none"
	} else {
		text += "correct the EnvoyFilter, WasmPlugin or Gateway that changes these listeners"
	}
	result := phase.Waiting(meshv1alpha1.ReasonListenersRejected, text, rejectedPace)
	if now.Sub(a.since) >= rejectionPatience {
		result = outcome.Stalled(meshv1alpha1.ReasonListenersRejected, errors.New(text))
		result.After = rejectedPace
	}
	return &result
}

// duplicates names other Gateways at the same port, with the cure. Empty: there are none.
func (a *acceptance) duplicates() string {
	if len(a.others) == 0 {
		return ""
	}
	return fmt.Sprintf("the Gateways %s have a server at port %d of the same pods: delete them, or give them another selector or port",
		mesh.Capped(a.others), istio.PassthroughPort)
}

// note adds to the message of a gateway that serves what a person should know of its listeners.
func (a *acceptance) note() string {
	text := ""
	if duplicates := a.duplicates(); duplicates != "" {
		text += "; " + duplicates
	}
	if a.err != nil {
		text += "; could not find out whether Envoy accepts its listeners: " + mesh.Shorten(a.err.Error(), reasonBytes)
	}
	return text
}
