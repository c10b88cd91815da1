package eastwest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	gatewayName  = "istio-eastwestgateway-1-29-1"
	duplicate    = "Error adding/updating listener(s) 0.0.0.0_15443: multiple filter chains with overlapping matching rules are defined"
	badExtension = "Error adding/updating listener(s) 0.0.0.0_15443: Didn't find a registered implementation for 'envoy.filters.network.lua'"
)

// gatewayPod is a pod of a gateway.
func gatewayPod(gateway, suffix string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: testutil.ControlPlane, Name: gateway + "-7d9f-" + suffix, GenerateName: gateway + "-7d9f-",
		Labels: map[string]string{"istio": mesh.GatewayLabel, "app": gateway, "pod-template-hash": "7d9f"},
	}}
}

// gatewayObject is a Gateway with a server at port 15443.
func gatewayObject(namespace, name string, selector map[string]any, port int64) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"selector": selector, "servers": []any{map[string]any{
			"port": map[string]any{"number": port, "name": "tls", "protocol": "TLS"}, "tls": map[string]any{"mode": "AUTO_PASSTHROUGH"}, "hosts": []any{"*.cluster.local"},
		}},
	}}}
	o.SetGroupVersionKind(istio.GatewayKind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// connection is a connection of a gateway's pod, over which listeners were sent so long before testutil.Now.
func connection(suffix string, ago time.Duration, rejects string) istiod.Proxy {
	return istiod.Proxy{ID: gatewayName + "-7d9f-" + suffix + "." + testutil.ControlPlane, Resources: map[string]istiod.Resource{
		listenerType: {Sent: "b", Acked: "a", SentAt: testutil.Now.Add(-ago), Error: rejects},
	}}
}

func TestAccepted(t *testing.T) {
	guide := gatewayObject("legacy", "cross-network-gateway", map[string]any{"istio": mesh.GatewayLabel}, istio.PassthroughPort)
	for name, c := range map[string]struct {
		connected []istiod.Proxy
		gateways  []client.Object
		// wants are parts of the result, which is a refusal or a note. Without any there is neither.
		isRefused bool
		wants     []string
	}{
		"all accept": {connected: []istiod.Proxy{connection("a", 0, ""), connection("b", 0, "")}},
		"the Gateway of a former install, which Envoy refuses": {
			connected: []istiod.Proxy{connection("a", 0, duplicate), connection("b", 0, duplicate)}, gateways: []client.Object{guide}, isRefused: true,
			wants: []string{"2 of 2 pods of " + gatewayName, "overlapping matching rules", "Gateways legacy/cross-network-gateway have a server at port 15443", "delete them"},
		},
		"a Gateway by another label, and one of two pods refuses": {
			connected: []istiod.Proxy{connection("a", 0, ""), connection("b", 0, duplicate)},
			gateways:  []client.Object{gatewayObject("team", "own", map[string]any{"app": gatewayName}, istio.PassthroughPort)}, isRefused: true,
			wants: []string{"1 of 2 pods", "team/own"},
		},
		"another reason than a Gateway": {
			connected: []istiod.Proxy{connection("a", 0, badExtension)}, isRefused: true, wants: []string{"1 of 2 pods", "envoy.filters.network.lua", "correct the EnvoyFilter"},
		},
		"a second Gateway that Envoy still accepts is named": {
			connected: []istiod.Proxy{connection("a", 0, "")}, gateways: []client.Object{guide}, wants: []string{"legacy/cross-network-gateway"},
		},
		"the operator's own Gateway, other ports and other pods": {
			connected: []istiod.Proxy{connection("a", 0, "")},
			gateways: []client.Object{
				gatewayObject(testutil.ControlPlane, crossNetworkName, map[string]any{"istio": mesh.GatewayLabel}, istio.PassthroughPort),
				gatewayObject("team", "https", map[string]any{"istio": mesh.GatewayLabel}, 443),
				gatewayObject("team", "ingress", map[string]any{"istio": "ingressgateway"}, istio.PassthroughPort),
			},
		},
		"what an older connection rejected": {connected: []istiod.Proxy{connection("a", time.Minute, duplicate), connection("a", 0, "")}},
		"what another gateway rejects": {connected: []istiod.Proxy{{ID: "istio-eastwestgateway-1-28-3-7d9f-a." + testutil.ControlPlane, Resources: map[string]istiod.Resource{
			listenerType: {Error: duplicate},
		}}}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := append([]client.Object{
				gatewayPod(gatewayName, "a"), gatewayPod(gatewayName, "b"), gatewayPod("istio-eastwestgateway-1-28-3", "a"), membertest.IstiodPod("istiod-1", "1-29-1"),
			}, c.gateways...)
			s := &Steps{Istiod: &membertest.Istiod{Connected: c.connected}}
			pass := membertest.Pass(t, servedBy("1-29-1"), objects...)
			a := s.accepted(t.Context(), pass, &memory{}, gatewayName, true)
			text, refusal := a.note(), a.refusal(pass.Now)
			if a.err != nil || (refusal != nil) != c.isRefused {
				t.Fatalf("error %v, refusal %+v, want one: %v", a.err, refusal, c.isRefused)
			}
			if refusal != nil {
				text = refusal.Text()
			}
			for _, want := range c.wants {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not contain %q", text, want)
				}
			}
			if len(c.wants) == 0 && text != "" {
				t.Errorf("there is nothing to say, and it says %q", text)
			}
		})
	}
}

// servedBy is a member whose gateway and namespaces are of a revision.
func servedBy(revision string) *meshv1alpha1.MeshMember {
	return testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.DefaultRevision, m.Spec.GatewayRevision = revision, revision })
}

// TestAcceptedIsAskedSeldom counts the questions to istiod in a quiet mesh: one a minute; and while Envoy rejects: one in 30 s.
func TestAcceptedIsAskedSeldom(t *testing.T) {
	played := &membertest.Istiod{Connected: []istiod.Proxy{connection("a", 0, "")}}
	s, m := &Steps{Istiod: played}, &memory{}
	passes := membertest.Passes(t, servedBy("1-29-1"), fake.NewClientBuilder().WithObjects(gatewayPod(gatewayName, "a"), membertest.IstiodPod("istiod-1", "1-29-1")).Build())
	run := func(seconds int, from time.Time) int {
		before := played.Asked
		for i := range seconds {
			s.accepted(t.Context(), passes(from.Add(time.Duration(i)*time.Second)), m, gatewayName, true)
		}
		return played.Asked - before
	}
	const minutes = 3
	if got := run(minutes*60, testutil.Now); got != minutes {
		t.Errorf("asked %d times in %d minutes, want once a minute", got, minutes)
	}
	played.Connected[0].Resources[listenerType] = istiod.Resource{Error: duplicate}
	if got := run(minutes*60, testutil.Now.Add(time.Hour)); got != 2*minutes {
		t.Errorf("while Envoy rejects: asked %d times in %d minutes, want twice a minute", got, minutes)
	}
	before := played.Asked
	s.accepted(t.Context(), passes(testutil.Now.Add(2*time.Hour)), m, gatewayName, false)
	s.accepted(t.Context(), passes(testutil.Now.Add(2*time.Hour+time.Second)), m, gatewayName, true)
	if got := played.Asked - before; got != 2 {
		t.Errorf("asked %d times, want once more when the pods are complete", got)
	}
}

// TestRejectionOfListeners waits for a while, as users' configuration may be wrong for a moment, and then needs a person. One that is cured
// leaves nothing behind.
func TestRejectionOfListeners(t *testing.T) {
	played := &membertest.Istiod{Connected: []istiod.Proxy{connection("a", 0, duplicate)}}
	s, m := &Steps{Istiod: played}, &memory{}
	passes := membertest.Passes(t, servedBy("1-29-1"), fake.NewClientBuilder().WithObjects(gatewayPod(gatewayName, "a"), membertest.IstiodPod("istiod-1", "1-29-1")).Build())
	look := func(after time.Duration) *phase.Result {
		pass := passes(testutil.Now.Add(after))
		return s.accepted(t.Context(), pass, m, gatewayName, true).refusal(pass.Now)
	}
	if got := look(0); got == nil || got.Kind != phase.Wait || got.Reason != meshv1alpha1.ReasonListenersRejected {
		t.Errorf("at first: %+v, want that it waits", got)
	}
	if got := look(rejectionPatience); got == nil || got.Kind != phase.Stalled || got.After != rejectedPace {
		t.Errorf("after %s: %+v, want that it needs a person, and looks again", rejectionPatience, got)
	}
	played.Err = errors.New("no answer")
	if got := look(rejectionPatience + rejectedPace); got == nil || got.Kind != phase.Stalled {
		t.Errorf("without an answer: %+v, want that what was seen stays", got)
	}
	played.Err, played.Connected = nil, []istiod.Proxy{connection("a", 0, "")}
	if got := look(rejectionPatience + 2*rejectedPace); got != nil {
		t.Errorf("when it is cured: %+v", got)
	}
	played.Connected = []istiod.Proxy{connection("a", 0, duplicate)}
	if got := look(time.Hour); got == nil || got.Kind != phase.Wait {
		t.Errorf("when it comes back: %+v, want that it waits anew", got)
	}
}

// TestAcceptedWithoutAnAnswer says so, and takes nothing away from a gateway that serves.
func TestAcceptedWithoutAnAnswer(t *testing.T) {
	s := &Steps{Istiod: &membertest.Istiod{Err: errors.New("connection refused")}}
	pass := membertest.Pass(t, servedBy("1-29-1"), gatewayPod(gatewayName, "a"), membertest.IstiodPod("istiod-1", "1-29-1"))
	a := s.accepted(context.Background(), pass, &memory{}, gatewayName, true)
	if refusal := a.refusal(pass.Now); refusal != nil || !strings.Contains(a.note(), "connection refused") {
		t.Errorf("refusal %v, note %q", refusal, a.note())
	}
}
