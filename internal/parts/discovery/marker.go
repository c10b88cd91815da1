package discovery

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// markerPort is the port of the marker's Service. Nothing listens there.
const markerPort = 15443

// nowhere is a namespace without proxies. A Service that is exported to none at all (`~`) does not do: istiod keeps its first
// endpoints and passes over every change (serviceNeedsPush in its Kubernetes registry).
const nowhere = "meshfleet-nowhere"

const (
	// markerInterval is how often a member changes its marker, at least.
	markerInterval = 5 * time.Minute
	// markerShare is the time of the interval for each peer: a change costs every peer a write and a question to its istiod.
	markerShare = 3 * time.Second
)

// intervalFor is the time between two changes of a marker that so many peers look at.
func intervalFor(peers int) time.Duration {
	return max(markerInterval, time.Duration(peers)*markerShare)
}

// mark keeps the member's marker, and gives it another address from time to time: that a peer has received one endpoint says nothing of
// what came later. A member without peers has none: nothing reads it. Result: when the next change is due.
func mark(ctx context.Context, pass *member.Pass, replacedToken bool) (time.Time, error) {
	d := &pass.Object.Status.Discovery
	component, interval := apply.Component{Name: markerComponent}, intervalFor(len(pass.Object.Spec.Peers))
	if len(pass.Object.Spec.Peers) == 0 {
		d.Marker = nil
		return pass.Now.Add(interval), wrapMark(pass.Apply(ctx, component))
	}
	marker := d.Marker.DeepCopy()
	if marker == nil {
		marker = &meshv1alpha1.DiscoveryMarker{}
	}
	now := metav1.NewTime(pass.Now.UTC().Truncate(time.Second))
	if marker.Address == "" || pass.Now.Sub(marker.Since.Time) >= interval {
		marker.Address, marker.Since = markerAddress(pass.Now), now
	}
	if replacedToken {
		marker.TokenReplaced = &now
	}
	component.Objects = Marker(pass.Namespace(), marker.Address)
	if err := pass.Apply(ctx, component); err != nil {
		return time.Time{}, wrapMark(err)
	}
	d.Marker = marker
	return marker.Since.Add(interval), nil
}

func wrapMark(err error) error {
	if err != nil {
		return fmt.Errorf("write the marker of discovery: %w", err)
	}
	return nil
}

// markerAddress is an address of the class that is reserved for no use (RFC 1112, 240.0.0.0/4), so that nothing answers there. Each time
// has another.
func markerAddress(at time.Time) string {
	sum := sha256.Sum256([]byte(at.UTC().Format(time.RFC3339Nano)))
	return fmt.Sprintf("%d.%d.%d.%d", 240+sum[0]%15, sum[1], sum[2], sum[3])
}

// Marker is a Service without pods whose one endpoint changes every few minutes: a peer whose istiod
// knows the address receives what is new in the member. No proxy is told of it, because of the namespace that it is exported to.
func Marker(namespace, address string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		{Object: map[string]any{
			"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{
				"name": mesh.DiscoveryMarkerName, "namespace": namespace,
				"annotations": map[string]any{"networking.istio.io/exportTo": nowhere},
			},
			"spec": map[string]any{"ports": []any{
				map[string]any{"name": "tcp-marker", "port": int64(markerPort), "protocol": "TCP", "targetPort": int64(markerPort)},
			}},
		}},
		{Object: map[string]any{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata": map[string]any{
				"name": mesh.DiscoveryMarkerName, "namespace": namespace,
				"labels": map[string]any{"kubernetes.io/service-name": mesh.DiscoveryMarkerName},
			},
			"addressType": "IPv4",
			"endpoints":   []any{map[string]any{"addresses": []any{address}, "conditions": map[string]any{"ready": true}}},
			"ports":       []any{map[string]any{"name": "tcp-marker", "port": int64(markerPort), "protocol": "TCP"}},
		}},
	}
}
