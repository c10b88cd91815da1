package discovery

import (
	"cmp"
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
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// peersDeadline bounds the wait for istiod to sync a peer.
	peersDeadline = 4 * time.Minute
	// reverify is how often a member that is ready proves again that its peers are synced. With stuckAfter it bounds the time until
	// a peer that istiod reads no more is found.
	reverify = time.Minute
	// replacedPace is how often istiod is asked while a peer with a host name replaces its gateway: what istiod will hold is not known
	// beforehand.
	replacedPace = 5 * time.Second
)

// expectedPeers is what their MeshMembers say of a member's peers, without those that leave.
type expectedPeers struct {
	// serving has the peers whose control plane has ever served.
	serving map[string]bool
	// gateways are the announced gateways by peer.
	gateways map[string][]meshv1alpha1.NetworkGateway
	// named are the networks of peers that announce a host name: istiod knows what it resolved, which nobody else knows.
	named map[string]bool
	// byName are the peers that announce host names only, with their network and these names.
	byName map[string]namedGateway
	// replaced is true while a peer with a host name replaces its gateway: it waits for what this member's istiod holds.
	replaced bool
	// announced is when the latest of these was announced.
	announced time.Time
	// markers are the peers' markers, reachable the peers whose API server answers the hub.
	markers   map[string]meshv1alpha1.DiscoveryMarker
	reachable map[string]bool
}

// namedGateway is a gateway that is announced by host names only.
type namedGateway struct {
	network string
	names   []string
}

// addresses are the gateways that istiod must know, sorted.
func (e expectedPeers) addresses() []meshv1alpha1.NetworkGateway {
	return slices.Compact(slices.SortedFunc(slices.Values(slices.Concat(slices.Collect(maps.Values(e.gateways))...)), byNetwork))
}

func byNetwork(a, b meshv1alpha1.NetworkGateway) int {
	return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Address, b.Address))
}

// readExpected reads what must be seen of the member's peers.
func readExpected(ctx context.Context, pass *member.Pass) (expectedPeers, error) {
	out := expectedPeers{
		serving: map[string]bool{}, gateways: map[string][]meshv1alpha1.NetworkGateway{}, markers: map[string]meshv1alpha1.DiscoveryMarker{}, reachable: map[string]bool{},
		named: map[string]bool{}, byName: map[string]namedGateway{},
	}
	members, err := pass.Siblings(ctx)
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
		if g.Announced == nil {
			continue
		}
		var names []string
		for _, address := range g.Addresses {
			if _, err := netip.ParseAddr(address); err != nil {
				out.named[m.Spec.Network] = true
				out.replaced = out.replaced || g.Takeover != nil
				names = append(names, address)
				continue
			}
			out.gateways[m.Spec.Cluster] = append(out.gateways[m.Spec.Cluster], meshv1alpha1.NetworkGateway{Network: m.Spec.Network, Address: address})
			if g.Announced.After(out.announced) {
				out.announced = g.Announced.Time
			}
		}
		if len(names) > 0 && len(names) == len(g.Addresses) {
			out.byName[m.Spec.Cluster] = namedGateway{network: m.Spec.Network, names: names}
		}
	}
	return out, nil
}

// verification remembers what was proved, so that istiod is not asked again for every event.
type verification struct {
	// inputs identify what the proof rests on: pods, Secrets and peers. Since is when they were first seen.
	inputs [sha256.Size]byte
	since  time.Time
	// at is when istiod was last asked, peers what it said.
	at       time.Time
	peers    []meshv1alpha1.PeerStatus
	gateways []meshv1alpha1.NetworkGateway
	// agree says that no istiod pod knows a gateway that another does not.
	agree bool
	// markers are the addresses of peers' markers that every pod knows, markersAt when the pods were last asked for them.
	markers   map[string]string
	markersAt time.Time
}

// verifyPeers proves from every istiod pod of the member that it reads every peer.
func (s *Steps) verifyPeers(ctx context.Context, pass *member.Pass) phase.Result {
	pods, err := member.ServingIstiods(ctx, pass.Remote, &pass.Object.Spec)
	if err != nil {
		return outcome.Failed(err)
	}
	if len(pods) == 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "no istiod pod is ready", outcome.ShortWait)
	}
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := pass.Metadata().List(ctx, secrets, client.InNamespace(pass.Namespace()),
		client.MatchingLabels{meshv1alpha1.LabelComponent: remoteSecretsComponent}); err != nil {
		return outcome.Failed(err)
	}
	expected, err := readExpected(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	inputs := verificationInputs(pass, pods, secrets.Items, expected)
	v := &s.memory.Of(pass).verified
	if v.inputs != inputs {
		*v = verification{inputs: inputs, since: pass.Now}
	}
	isDue := pass.Now.Sub(v.at) >= reverify || expected.replaced && pass.Now.Sub(v.at) >= replacedPace
	if isDue || !allSynced(v.peers) || isChanging(pass, v, expected) {
		if err := s.askIstiod(ctx, pass, pods, expected, v); err != nil {
			return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
		}
		if err := s.acknowledged(ctx, pass, pods, v, expected); err != nil {
			return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
		}
		v.at = pass.Now
	}
	if err := s.askMarkers(ctx, pass, pods, expected, v); err != nil {
		return phase.Retrying(meshv1alpha1.ReasonWaitingForIstiod, err)
	}
	result := reportPeers(pass, v, expected)
	s.reportRestart(pass, pods, secrets.Items, expected)
	return restarting(pass, result)
}

// isChanging says that a peer replaces its gateway: it waits for this member to report when the new one is acknowledged, and
// when the old one is forgotten. A gateway that no peer has announced is an old one only for a while after the last change.
// After that it is a user's own: an address of `meshNetworks`, or another Service with the network's label.
func isChanging(pass *member.Pass, v *verification, expected expectedPeers) bool {
	if !slices.Equal(v.gateways, pass.Object.Status.Discovery.ProxyGateways) {
		return true
	}
	wanted, known := setOf(expected.addresses()), setOf(v.gateways)
	for g := range wanted {
		if !known[g] {
			return true
		}
	}
	return pass.Now.Sub(v.since) < peersDeadline && slices.ContainsFunc(v.gateways, func(g meshv1alpha1.NetworkGateway) bool {
		return !wanted[g] && !expected.named[g.Network]
	})
}

// setOf is for looking up: every member has the gateways of all others.
func setOf(gateways []meshv1alpha1.NetworkGateway) map[meshv1alpha1.NetworkGateway]bool {
	out := make(map[meshv1alpha1.NetworkGateway]bool, len(gateways))
	for _, g := range gateways {
		out[g] = true
	}
	return out
}

// reportPeers says how far the peers are. Only those that have served hold the member up: a newcomer that cannot start is
// told by its own conditions, and takes nothing away from members that work.
func reportPeers(pass *member.Pass, v *verification, expected expectedPeers) phase.Result {
	d := &pass.Object.Status.Discovery
	d.Peers, d.IstiodGateways = v.marked(d.Peers, expected), v.gateways
	var behind, joining []string
	for _, p := range d.Peers {
		switch {
		case p.State == meshv1alpha1.PeerSynced:
		case expected.serving[p.Name]:
			behind = append(behind, p.Name+" is "+stateOf(&p))
		default:
			joining = append(joining, p.Name+" is "+stateOf(&p))
		}
	}
	d.SyncedPeers = int32(len(d.Peers) - len(behind) - len(joining)) //nolint:gosec // far fewer than 2^31
	if len(behind) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForPeers, "istiod: "+mesh.List(behind, len(behind)), outcome.ShortWait).
			Overdue(v.since, pass.Now, peersDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	metrics.SetDiscoveryVerified(pass.Key(), v.at)
	result := phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("%d of %d peers synced", d.SyncedPeers, len(d.Peers)))
	result.After = max(reverify-pass.Now.Sub(v.at), outcome.ShortWait)
	if len(joining) > 0 {
		result.Message += "; not waited for before they have served: " + mesh.List(joining, len(joining))
		result.After = outcome.Recheck
	}
	switch {
	case isChanging(pass, v, expected), mesh.IsRestarting(pass.Object):
		result.After = outcome.ShortWait
	case v.lacksMarkers(expected):
		result.After = max(min(result.After, markersEvery(pass, v)-pass.Now.Sub(v.markersAt)), outcome.ShortWait)
	}
	if expected.replaced {
		result.After = min(result.After, replacedPace)
	}
	return result
}

// stateOf is a peer's state for messages, with istiod's own word if the operator does not know it.
func stateOf(p *meshv1alpha1.PeerStatus) string {
	if p.Message != "" {
		return string(p.State) + " (" + p.Message + ")"
	}
	return string(p.State)
}

func allSynced(peers []meshv1alpha1.PeerStatus) bool {
	return !slices.ContainsFunc(peers, func(p meshv1alpha1.PeerStatus) bool { return p.State != meshv1alpha1.PeerSynced })
}

// askIstiod asks every istiod pod for its clusters and network gateways. A peer is as far as the pod that is least far;
// a gateway is known when every pod knows it.
func (s *Steps) askIstiod(ctx context.Context, pass *member.Pass, pods []corev1.Pod, expected expectedPeers, v *verification) error {
	var clusters []map[string]istiod.RemoteCluster
	var known []meshv1alpha1.NetworkGateway
	var byPod [][]meshv1alpha1.NetworkGateway
	agree := true
	for i := range pods {
		c, g, err := s.askPod(ctx, pass, &pods[i])
		if err != nil {
			return err
		}
		clusters, byPod = append(clusters, byID(c)), append(byPod, g)
		if i == 0 {
			known = slices.Clone(g)
		}
		agree = agree && slices.Equal(known, g)
		knows := setOf(g)
		known = slices.DeleteFunc(known, func(k meshv1alpha1.NetworkGateway) bool { return !knows[k] })
	}
	inAll := setOf(known)
	v.gateways, v.agree, v.peers = known, agree, nil
	for _, p := range pass.Object.Spec.Peers {
		status := meshv1alpha1.PeerStatus{Name: p.Name, State: meshv1alpha1.PeerSynced}
		if slices.ContainsFunc(expected.gateways[p.Name], func(g meshv1alpha1.NetworkGateway) bool { return !inAll[g] }) {
			status.State = meshv1alpha1.PeerGatewayUnknown
		}
		if named, ok := expected.byName[p.Name]; ok && slices.ContainsFunc(byPod, func(g []meshv1alpha1.NetworkGateway) bool { return !leadInto(g, named.network) }) {
			status.State = meshv1alpha1.PeerGatewayUnknown
			status.Message = "it holds no address of " + mesh.Capped(named.names) + ": check that the DNS of this cluster resolves it, and that istiod's " +
				"RESOLVE_HOSTNAME_GATEWAYS is not false"
		}
		for _, c := range clusters {
			if state, message := peerState(c, p.Name, pass.Namespace()+"/"+RemoteSecretName(p.Name)); state != meshv1alpha1.PeerSynced {
				status.State, status.Message = state, message
			}
		}
		v.peers = append(v.peers, status)
	}
	return nil
}

// leadInto is true if one of the gateways leads into a network. For a host name it is whichever address istiod has resolved: pods may have
// been given different ones.
func leadInto(gateways []meshv1alpha1.NetworkGateway, network string) bool {
	return slices.ContainsFunc(gateways, func(g meshv1alpha1.NetworkGateway) bool { return g.Network == network })
}

// askPod asks one istiod pod. Its own cluster's gateways are left out.
func (s *Steps) askPod(ctx context.Context, pass *member.Pass, pod *corev1.Pod) ([]istiod.RemoteCluster, []meshv1alpha1.NetworkGateway, error) {
	ask, cancel := context.WithTimeout(ctx, member.AskIstiod)
	defer cancel()
	clusters, err := s.Istiod.Clusters(ask, pass.Config(), pod.Namespace, pod.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("ask istiod pod %s for its clusters: %w", pod.Name, err)
	}
	gateways, err := s.Istiod.Gateways(ask, pass.Config(), pod.Namespace, pod.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("ask istiod pod %s for its gateways: %w", pod.Name, err)
	}
	var known []meshv1alpha1.NetworkGateway
	for _, g := range gateways {
		if g.Cluster != pass.Object.Spec.Cluster {
			known = append(known, meshv1alpha1.NetworkGateway{Network: g.Network, Address: g.Addr})
		}
	}
	slices.SortFunc(known, byNetwork)
	return clusters, slices.Compact(known), nil
}

// istiodStates are the states of a cluster in istiod's words (pkg/kube/multicluster, SyncStatus).
var istiodStates = map[string]meshv1alpha1.PeerState{
	mesh.IstiodSynced: meshv1alpha1.PeerSynced, "syncing": meshv1alpha1.PeerSyncing, "timeout": meshv1alpha1.PeerTimedOut, "closed": meshv1alpha1.PeerClosed,
}

// byID are clusters by their ID. Of two of one ID, it is the first.
func byID(clusters []istiod.RemoteCluster) map[string]istiod.RemoteCluster {
	out := make(map[string]istiod.RemoteCluster, len(clusters))
	for _, c := range clusters {
		if _, isThere := out[c.ID]; !isThere {
			out[c.ID] = c
		}
	}
	return out
}

// peerState is the state of a peer in the answer of one istiod pod. The message is istiod's word, if the state is Unknown.
func peerState(clusters map[string]istiod.RemoteCluster, name, secret string) (state meshv1alpha1.PeerState, message string) {
	c, isThere := clusters[name]
	switch {
	case !isThere:
		return meshv1alpha1.PeerMissing, ""
	case c.SecretName != secret:
		return meshv1alpha1.PeerForeign, ""
	}
	if state, isKnown := istiodStates[c.SyncStatus]; isKnown {
		return state, ""
	}
	return meshv1alpha1.PeerUnknown, c.SyncStatus
}

// verificationInputs identify what a proof rests on.
func verificationInputs(pass *member.Pass, pods []corev1.Pod, secrets []metav1.PartialObjectMetadata, expected expectedPeers) [sha256.Size]byte {
	var parts []string
	for _, g := range expected.addresses() {
		parts = append(parts, "gateway "+g.Network+" "+g.Address)
	}
	for _, named := range expected.byName {
		parts = append(parts, "gateway "+named.network+" "+strings.Join(named.names, " "))
	}
	for p := range expected.serving {
		parts = append(parts, "serving "+p)
	}
	for i := range pods {
		parts = append(parts, "pod "+string(pods[i].UID))
	}
	for i := range secrets {
		parts = append(parts, "secret "+secrets[i].Name+" "+secrets[i].ResourceVersion)
	}
	for _, p := range pass.Object.Spec.Peers {
		parts = append(parts, "peer "+p.Name)
	}
	slices.Sort(parts)
	return sha256.Sum256([]byte(strings.Join(parts, "\n")))
}
