package member

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	peersDeadline  = 3 * time.Minute
	istiodQuestion = 5 * time.Second
)

// expectedPeers is what their MeshMembers say of a member's peers, without those that leave.
type expectedPeers struct {
	// serving has the peers whose control plane has ever served.
	serving map[string]bool
	// gateways are the announced gateways by peer, as `<network>/<address>`.
	gateways map[string]string
	// announced is when the latest of these was announced.
	announced time.Time
	// markers are the peers' markers, reachable the peers whose API server answers the hub.
	markers   map[string]meshv1alpha1.DiscoveryMarker
	reachable map[string]bool
}

// addresses are the gateways that istiod must know, sorted.
func (e expectedPeers) addresses() []string {
	return slices.Compact(slices.Sorted(maps.Values(e.gateways)))
}

// expectedPeers reads what must be seen of the member's peers.
func (r *Reconciler) expectedPeers(ctx context.Context, s *scope) (expectedPeers, error) {
	out := expectedPeers{
		serving: map[string]bool{}, gateways: map[string]string{}, markers: map[string]meshv1alpha1.DiscoveryMarker{}, reachable: map[string]bool{},
	}
	members, err := r.siblingMembers(ctx, s)
	if err != nil {
		return out, err
	}
	for i := range members {
		m := &members[i]
		if mesh.HasServed(m) {
			out.serving[m.Spec.Cluster] = true
		}
		if marker := m.Status.Discovery.Marker; marker != nil {
			out.markers[m.Spec.Cluster] = *marker
		}
		out.reachable[m.Spec.Cluster] = meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable)
		g := m.Status.Gateway
		if _, err := netip.ParseAddr(g.Address); g.Announced != nil && err == nil {
			out.gateways[m.Spec.Cluster] = m.Spec.Network + "/" + g.Address
			if g.Announced.After(out.announced) {
				out.announced = g.Announced.Time
			}
		}
	}
	return out, nil
}

// siblingMembers are the other members of the mesh, without those that leave.
func (r *Reconciler) siblingMembers(ctx context.Context, s *scope) ([]meshv1alpha1.MeshMember, error) {
	members := &meshv1alpha1.MeshMemberList{}
	if err := r.Client.List(ctx, members, client.InNamespace(s.member.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: s.member.Spec.Installation}); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return slices.DeleteFunc(members.Items, func(m meshv1alpha1.MeshMember) bool {
		return m.UID == s.member.UID || m.Spec.Removal == meshv1alpha1.RemovalNow
	}), nil
}

// verification remembers what was proved, so that istiod is not asked again for every event.
type verification struct {
	// inputs identify what the proof rests on: pods, Secrets and peers. Since is when they were first seen.
	inputs [sha256.Size]byte
	since  time.Time
	// at is when istiod was last asked, peers what it said.
	at       time.Time
	peers    []meshv1alpha1.PeerStatus
	gateways []string
	// agree says that no istiod pod knows a gateway that another does not.
	agree bool
	// markers are the addresses of peers' markers that every pod knows, markersAt when the pods were last asked for them.
	markers   map[string]string
	markersAt time.Time
}

// verifyPeers proves from every istiod pod of the member that it reads every peer.
func (r *Reconciler) verifyPeers(ctx context.Context, s *scope) phase.Result {
	pods, err := servingIstiods(ctx, s.remote, &s.member.Spec)
	if err != nil {
		return outcome.Failed(err)
	}
	if len(pods) == 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "no istiod pod is ready", outcome.ShortWait)
	}
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := s.state.connection.Cluster.GetCache().List(ctx, secrets, client.InNamespace(s.namespace()),
		client.MatchingLabels{meshv1alpha1.LabelComponent: remoteSecretsComponent}); err != nil {
		return outcome.Failed(err)
	}
	expected, err := r.expectedPeers(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	inputs := verificationInputs(s, pods, secrets.Items, expected)
	v := &s.state.verified
	if v.inputs != inputs {
		*v = verification{inputs: inputs, since: s.now}
	}
	if s.now.Sub(v.at) >= reverify || !allSynced(v.peers) || isChanging(s, v, expected) {
		if err := r.askIstiod(ctx, s, pods, expected, v); err != nil {
			return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
		}
		if err := r.acknowledged(ctx, s, pods, v, expected); err != nil {
			return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
		}
		v.at = s.now
	}
	if err := r.askMarkers(ctx, s, pods, expected, v); err != nil {
		return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
	}
	result := r.reportPeers(s, v, expected)
	r.reportRestart(s, pods, secrets.Items, expected)
	return restarting(s, result)
}

// isChanging says that a peer replaces its gateway: it waits for this member to say when the new one is acknowledged, and
// when the old one is forgotten.
func isChanging(s *scope, v *verification, expected expectedPeers) bool {
	return !slices.Equal(v.gateways, expected.addresses()) || !slices.Equal(v.gateways, s.member.Status.Discovery.AcknowledgedGateways)
}

// reportPeers says how far the peers are. Only those that have served hold the member up: a newcomer that cannot start is
// told by its own conditions, and takes nothing away from members that work.
func (r *Reconciler) reportPeers(s *scope, v *verification, expected expectedPeers) phase.Result {
	d := &s.member.Status.Discovery
	d.Peers, d.Gateways = v.marked(d.Peers, expected, s.now), v.gateways
	var behind, joining []string
	for _, p := range d.Peers {
		switch {
		case p.State == mesh.PeerSynced:
		case expected.serving[p.Name]:
			behind = append(behind, p.Name+" is "+p.State)
		default:
			joining = append(joining, p.Name+" is "+p.State)
		}
	}
	d.Synced = fmt.Sprintf("%d/%d", len(d.Peers)-len(behind)-len(joining), len(d.Peers))
	if len(behind) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers, "istiod: "+strings.Join(behind, ", "), outcome.ShortWait).
			Overdue(v.since, s.now, peersDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	metrics.SetDiscoveryVerified(s.key, v.at)
	result := phase.Complete(meshv1alpha1.ReasonReady, d.Synced+" peers synced")
	result.After = max(reverify-s.now.Sub(v.at), outcome.ShortWait)
	if len(joining) > 0 {
		result.Message += "; not waited for before they have served: " + strings.Join(joining, ", ")
		result.After = outcome.Recheck
	}
	switch {
	case isChanging(s, v, expected), mesh.IsRestarting(s.member):
		result.After = outcome.ShortWait
	case v.lacksMarkers(expected):
		result.After = min(result.After, markerPace)
	}
	return result
}

// States of a peer beside mesh.PeerSynced.
const (
	absent     = "missing"
	noRoute    = "synced, but its gateway is not known yet"
	foreign    = "read through a Secret that is not ours"
	peerStale  = "stale"
	peerClosed = "closed"
)

func allSynced(peers []meshv1alpha1.PeerStatus) bool {
	return !slices.ContainsFunc(peers, func(p meshv1alpha1.PeerStatus) bool { return p.State != mesh.PeerSynced })
}

// askIstiod asks every istiod pod for its clusters and network gateways. A peer is as far as the pod that is least far;
// a gateway is known when every pod knows it.
func (r *Reconciler) askIstiod(ctx context.Context, s *scope, pods []corev1.Pod, expected expectedPeers, v *verification) error {
	var clusters [][]istiod.RemoteCluster
	var known []string
	agree := true
	for i := range pods {
		c, g, err := r.askPod(ctx, s, &pods[i])
		if err != nil {
			return err
		}
		clusters = append(clusters, c)
		if i == 0 {
			known = slices.Clone(g)
		}
		agree = agree && slices.Equal(known, g)
		known = slices.DeleteFunc(known, func(k string) bool { return !slices.Contains(g, k) })
	}
	v.gateways, v.agree, v.peers = known, agree, nil
	for _, p := range s.member.Spec.Peers {
		state := mesh.PeerSynced
		if gateway, ok := expected.gateways[p.Name]; ok && !slices.Contains(known, gateway) {
			state = noRoute
		}
		for _, c := range clusters {
			if st := peerState(c, p.Name, s.namespace()+"/"+discovery.RemoteSecretName(p.Name)); st != mesh.PeerSynced {
				state = st
			}
		}
		v.peers = append(v.peers, meshv1alpha1.PeerStatus{Name: p.Name, State: state})
	}
	return nil
}

// askPod asks one istiod pod. Its own cluster's gateways are left out.
func (r *Reconciler) askPod(ctx context.Context, s *scope, pod *corev1.Pod) ([]istiod.RemoteCluster, []string, error) {
	ask, cancel := context.WithTimeout(ctx, istiodQuestion)
	defer cancel()
	clusters, err := r.Istiod.Clusters(ask, s.state.connection.Config, pod.Namespace, pod.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("ask istiod pod %s for its clusters: %w", pod.Name, err)
	}
	gateways, err := r.Istiod.Gateways(ask, s.state.connection.Config, pod.Namespace, pod.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("ask istiod pod %s for its gateways: %w", pod.Name, err)
	}
	var known []string
	for _, g := range gateways {
		if g.Cluster != s.member.Spec.Cluster {
			known = append(known, g.Network+"/"+g.Addr)
		}
	}
	slices.Sort(known)
	return clusters, slices.Compact(known), nil
}

func peerState(clusters []istiod.RemoteCluster, name, secret string) string {
	i := slices.IndexFunc(clusters, func(c istiod.RemoteCluster) bool { return c.ID == name })
	switch {
	case i < 0:
		return absent
	case clusters[i].SecretName != secret:
		return foreign
	}
	return clusters[i].SyncStatus
}

// servingIstiods are the ready pods of the revisions that are asked, by name.
func servingIstiods(ctx context.Context, remote client.Reader, spec *meshv1alpha1.MeshMemberSpec) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := remote.List(ctx, list, client.InNamespace(spec.ControlPlaneNamespace), client.MatchingLabels{"app": "istiod"}); err != nil {
		return nil, fmt.Errorf("list istiod pods: %w", err)
	}
	used := asked(spec)
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		return !ready || p.DeletionTimestamp != nil || !used[p.Labels["istio.io/rev"]]
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// verificationInputs identify what a proof rests on.
func verificationInputs(s *scope, pods []corev1.Pod, secrets []metav1.PartialObjectMetadata, expected expectedPeers) [sha256.Size]byte {
	parts := expected.addresses()
	for p := range expected.serving {
		parts = append(parts, "serving "+p)
	}
	for i := range pods {
		parts = append(parts, "pod "+string(pods[i].UID))
	}
	for i := range secrets {
		parts = append(parts, "secret "+secrets[i].Name+" "+secrets[i].ResourceVersion)
	}
	for _, p := range s.member.Spec.Peers {
		parts = append(parts, "peer "+p.Name)
	}
	slices.Sort(parts)
	return sha256.Sum256([]byte(strings.Join(parts, "\n")))
}
