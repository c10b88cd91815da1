package discovery

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// markerPace is how often istiod is asked for markers that it does not know yet while it is new, or a peer is stale.
	markerPace = 10 * time.Second
	// markerRecheck is how often it is asked at other times: the answer has the endpoints of the whole mesh.
	markerRecheck = 2 * time.Minute
	// markerDeadline is how long after it was written a marker must be known. By then a token that is dead has been replaced.
	markerDeadline = 3 * time.Minute
	// tokenDeadline is how long after a dead token was replaced peers receive changes again: kubelet brings a Secret within 2 minutes,
	// client-go reads the file once a minute, and its reflectors wait up to 30 seconds between tries.
	tokenDeadline = 5 * time.Minute
)

// markersEvery is how often istiod is asked for markers now.
func markersEvery(pass *member.Pass, v *verification) time.Duration {
	isStale := func(p meshv1alpha1.PeerStatus) bool { return p.State == meshv1alpha1.PeerStale }
	if mesh.IsRestarting(pass.Object) || pass.Now.Sub(v.since) < markerDeadline || slices.ContainsFunc(pass.Object.Status.Discovery.Peers, isStale) {
		return markerPace
	}
	return max(markerRecheck, intervalFor(len(pass.Object.Spec.Peers))/2)
}

// askMarkers asks every istiod pod which markers of peers it knows, as long as one is missing. A peer whose marker is known sends
// what is new there: its reader token is accepted, and its watches are alive.
func (s *Steps) askMarkers(ctx context.Context, pass *member.Pass, pods []corev1.Pod, expected expectedPeers, v *verification) error {
	if !v.lacksMarkers(expected) || pass.Now.Sub(v.markersAt) < markersEvery(pass, v) {
		return nil
	}
	v.markersAt = pass.Now
	var known map[string][]string
	for i := range pods {
		answer, err := s.Istiod.Addresses(ctx, pass.Config(), pods[i].Namespace, pods[i].Name, mesh.DiscoveryMarkerName)
		if err != nil {
			return fmt.Errorf("ask istiod pod %s for markers: %w", pods[i].Name, err)
		}
		if i == 0 {
			known = answer
		}
		for cluster, addresses := range known {
			known[cluster] = slices.DeleteFunc(addresses, func(a string) bool { return !slices.Contains(answer[cluster], a) })
		}
	}
	v.markers = map[string]string{}
	for peer, marker := range expected.markers {
		if slices.Contains(known[peer], marker.Address) {
			v.markers[peer] = marker.Address
		}
	}
	return nil
}

// lacksMarkers is true when a peer has a marker that is not known to every istiod pod.
func (v *verification) lacksMarkers(expected expectedPeers) bool {
	return slices.ContainsFunc(v.peers, func(p meshv1alpha1.PeerStatus) bool {
		marker, ok := expected.markers[p.Name]
		return ok && v.markers[p.Name] != marker.Address
	})
}

// marked are the peers as of when istiod was last asked for markers, with the last marker that arrived of each. One whose marker does not arrive any more is stale, whatever
// istiod reports: that it was synced once does not end when its token does. Where none ever arrived, the member's own settings may
// keep it out, so that nothing follows.
func (v *verification) marked(former []meshv1alpha1.PeerStatus, expected expectedPeers) []meshv1alpha1.PeerStatus {
	out := slices.Clone(v.peers)
	for i := range out {
		p := &out[i]
		p.Marker = v.markers[p.Name]
		marker, ok := expected.markers[p.Name]
		if !ok || p.Marker == marker.Address {
			continue
		}
		if j := slices.IndexFunc(former, func(f meshv1alpha1.PeerStatus) bool { return f.Name == p.Name }); j >= 0 {
			p.Marker = former[j].Marker
		}
		isLate := v.markersAt.Sub(marker.Since.Time) >= markerDeadline && v.markersAt.Sub(v.since) >= markerDeadline
		if marker.TokenReplaced != nil {
			isLate = isLate && v.markersAt.Sub(marker.TokenReplaced.Time) >= tokenDeadline
		}
		if p.Marker != "" && p.State == meshv1alpha1.PeerSynced && isLate {
			p.State = meshv1alpha1.PeerStale
		}
	}
	return out
}
