// Package eastwest runs a member's east-west gateway and decides when peers are told of it.
package eastwest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

const (
	// Listener is the name of the component of the listener, which all gateways of a member share.
	Listener = "gateway-listener"
	// Prefix and a gateway's key make the name of its component.
	Prefix = "eastwest-"
)

// crossNetworkName is the name that Istio's guides use for the listener.
const crossNetworkName = "cross-network-gateway"

// Objects are the objects of the gateway of a revision, rendered anew. With announce its Service carries the network label, which
// tells istiod of every peer to send traffic there.
func Objects(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, revision string, announce bool) (apply.Component, error) {
	return component(m, revision, announce, func(src rendering.Source) (*rendering.Kept, error) {
		sets, err := src.Render()
		if err != nil {
			return nil, err
		}
		return rendering.Pack(src.Inputs, sets)
	}, lib)
}

// ListenerObjects are what every gateway of a member serves.
func ListenerObjects(m *meshv1alpha1.MeshMemberSpec) (apply.Component, error) {
	c := apply.Component{Name: Listener}
	hosts, err := serviceHosts(m)
	if err != nil {
		return c, err
	}
	c.Objects = []*unstructured.Unstructured{listener(m.ControlPlaneNamespace, hosts)}
	return c, nil
}

// localHosts are the services of clusters whose DNS domain ends in `.local`, as the default does.
const localHosts = "*.local"

// serviceHosts are the hosts of all services of a member. Istiod makes filter chains only for services below these. Revisions
// with different domains run together while an upgrade changes the domain.
func serviceHosts(m *meshv1alpha1.MeshMemberSpec) ([]any, error) {
	var hosts []string
	for i := range m.Revisions {
		values, err := mesh.Values(m.Revisions[i].Values)
		if err != nil {
			return nil, err
		}
		host := "*." + mesh.ClusterDomain(values)
		if strings.HasSuffix(host, ".local") {
			host = localHosts
		}
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	var out []any
	for _, host := range slices.Compact(hosts) {
		out = append(out, host)
	}
	return out, nil
}

// listener exposes every service of the cluster to peers, for mutual TLS only.
func listener(namespace string, hosts []any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1",
		"kind":       "Gateway",
		"metadata":   map[string]any{"name": crossNetworkName, "namespace": namespace},
		"spec": map[string]any{
			"selector": map[string]any{"istio": mesh.GatewayLabel},
			"servers": []any{map[string]any{
				"port":  map[string]any{"number": int64(istio.PassthroughPort), "name": "tls", "protocol": "TLS"},
				"tls":   map[string]any{"mode": "AUTO_PASSTHROUGH"},
				"hosts": hosts,
			}},
		},
	}}
}

// State is the state of a gateway.
type State struct {
	member.Rollout
	// Addresses at which peers reach it; empty while the Service has none.
	Addresses []string
	// Announced says that the Service carries the network label.
	Announced bool
	// ServiceCreated is when the Service was made; zero when there is none.
	ServiceCreated time.Time
}

// Observe reads the state of the gateway of a name.
func Observe(ctx context.Context, c client.Reader, namespace, name string) (State, error) {
	key := client.ObjectKey{Namespace: namespace, Name: name}
	rollout, err := member.Deployment(ctx, c, key)
	if err != nil {
		return State{}, err
	}
	s := State{Rollout: rollout}
	service := &corev1.Service{}
	err = c.Get(ctx, key, service)
	if apierrors.IsNotFound(err) {
		return s, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read Service %s: %w", key, err)
	}
	s.ServiceCreated = service.CreationTimestamp.Time
	s.Announced = service.Labels[charts.NetworkLabel] != ""
	s.Addresses = addressesOf(service)
	return s, nil
}

// maxAddresses bounds the addresses of a gateway in status.
const maxAddresses = 16

// addressesOf are the addresses of a gateway's Service that istiod tells proxies of: those of its load balancer, and its external
// IPs (Istio's pilot/pkg/serviceregistry/kube/conversion.go, ConvertService).
func addressesOf(service *corev1.Service) []string {
	var out []string
	add := func(address string) {
		if address != "" && !slices.Contains(out, address) && len(out) < maxAddresses {
			out = append(out, address)
		}
	}
	if service.Spec.Type == corev1.ServiceTypeLoadBalancer {
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			add(cmp.Or(ingress.IP, ingress.Hostname))
		}
	}
	for _, ip := range service.Spec.ExternalIPs {
		add(ip)
	}
	return out
}

// CanAnnounce says whether peers may be told: the gateway has an address and pods that serve, and what leads from the one to
// the other, which learns of ready pods a moment later, had the time to. Once told, they are not untold because a pod
// restarts: that would cut off what works.
func (s State) CanAnnounce(served, least time.Duration) bool {
	return s.Announced || s.IsServing() && served >= least
}

// IsServing says whether the gateway has an address and pods that are ready.
func (s State) IsServing() bool { return len(s.Addresses) > 0 && s.ReadyReplicas > 0 }

// Raise starts the least number of replicas at once. The chart leaves the number to the autoscaler, which begins with one
// and takes up to 15 seconds to look.
func (s State) Raise(ctx context.Context, c client.Client, key client.ObjectKey, least int32) (raised bool, err error) {
	if !s.Exists || s.Replicas >= least {
		return false, nil
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, least))
	// The autoscaler owns the number: another field manager than that of what is applied.
	if err := c.Patch(ctx, d, patch, client.FieldOwner("meshfleet-scale")); err != nil {
		return false, fmt.Errorf("scale Deployment %s to %d replicas: %w", key, least, err)
	}
	return true, nil
}

// withdrawnAnnotation keeps when peers were told that a gateway goes, so that a restart of the operator does not start
// the drain again.
const withdrawnAnnotation = "mesh.meshfleet.io/withdrawn-at"

// Withdraw takes the network label off the Service, so that peers stop sending before the gateway goes. It returns
// when that was done: now, or earlier; zero when there is nothing to withdraw.
func Withdraw(ctx context.Context, c client.Client, key client.ObjectKey, installation string, now time.Time) (time.Time, error) {
	service := &corev1.Service{}
	err := c.Get(ctx, key, service)
	if apierrors.IsNotFound(err) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read Service %s: %w", key, err)
	}
	if service.Labels[meshv1alpha1.LabelInstallation] != installation {
		return time.Time{}, nil
	}
	if service.Labels[charts.NetworkLabel] == "" {
		at, err := time.Parse(time.RFC3339, service.Annotations[withdrawnAnnotation])
		if err != nil {
			// It was never announced.
			return time.Time{}, nil
		}
		return at, nil
	}
	before := service.DeepCopy()
	delete(service.Labels, charts.NetworkLabel)
	if service.Annotations == nil {
		service.Annotations = map[string]string{}
	}
	service.Annotations[withdrawnAnnotation] = now.UTC().Format(time.RFC3339)
	if err := c.Patch(ctx, service, client.MergeFrom(before)); err != nil {
		return time.Time{}, fmt.Errorf("withdraw Service %s: %w", key, err)
	}
	return now, nil
}
