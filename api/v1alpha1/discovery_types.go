package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DiscoveryStatus is the state of endpoint discovery.
type DiscoveryStatus struct {
	// syncedPeers is the number of peers whose state is `Synced`.
	// +optional
	SyncedPeers int32 `json:"syncedPeers"`
	// tokenExpires is the end of the reader token that this member's peers use.
	// +optional
	TokenExpires *metav1.Time `json:"tokenExpires,omitempty"`
	// istiodGateways are the gateways of peers that every istiod of this member sends traffic to, sorted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16000
	IstiodGateways []NetworkGateway `json:"istiodGateways,omitempty"`
	// proxyGateways are the istiodGateways that every proxy of this member has acknowledged. A gateway that is not among them
	// gets no more requests from this member; one that is new among them is known to every proxy. A proxy that acknowledges
	// nothing for two minutes does not count.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16000
	ProxyGateways []NetworkGateway `json:"proxyGateways,omitempty"`
	// marker is the address that this member last gave to its Service `meshfleet-discovery`. Peers that have seen it receive what
	// is new in this member.
	// +optional
	Marker *DiscoveryMarker `json:"marker,omitempty"`
	// restartNeeded is why this member's istiod must be restarted. The restart is ordered for one member at a time, and never
	// while a member cannot be reached.
	// +optional
	RestartNeeded *RestartNeed `json:"restartNeeded,omitempty"`
	// restartedAt is the spec.istiodRestart.orderedAt of the last restart after which every peer was synced.
	// +optional
	RestartedAt *metav1.Time `json:"restartedAt,omitempty"`
	// peers is the state of each peer as this member's istiod reports it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Peers []PeerStatus `json:"peers,omitempty"`
}

// NetworkGateway is an address of a gateway that leads into a network.
type NetworkGateway struct {
	// network that the gateway leads to.
	// +required
	Network string `json:"network"`
	// address is an IP address, or a host name.
	// +required
	Address string `json:"address"`
}

// PeerState is the state of a peer.
type PeerState string

const (
	// PeerSynced: istiod has read the peer, and knows its gateway.
	PeerSynced PeerState = "Synced"
	// PeerSyncing: istiod is reading the peer for the first time.
	PeerSyncing PeerState = "Syncing"
	// PeerTimedOut: istiod has given up to wait for the first reading.
	PeerTimedOut PeerState = "TimedOut"
	// PeerClosed: istiod no longer reads the peer.
	PeerClosed PeerState = "Closed"
	// PeerMissing: istiod does not list the peer.
	PeerMissing PeerState = "Missing"
	// PeerForeign: istiod reads the peer through a Secret that the operator did not make.
	PeerForeign PeerState = "Foreign"
	// PeerGatewayUnknown: istiod has read the peer, and does not know its gateway yet.
	PeerGatewayUnknown PeerState = "GatewayUnknown"
	// PeerStale: istiod receives nothing new from the peer.
	PeerStale PeerState = "Stale"
	// PeerUnknown: istiod reports a state that this operator does not know.
	PeerUnknown PeerState = "Unknown"
)

// PeerStatus is the state of one peer as this member sees it.
type PeerStatus struct {
	// name of the peer.
	// +required
	Name string `json:"name"`
	// state of the peer: `Synced`, `Syncing`, `TimedOut`, `Closed` (istiod no longer reads the peer), `Missing` (istiod does not list
	// the peer), `Foreign` (istiod reads the peer through a Secret that the operator did not make), `GatewayUnknown` (istiod does not
	// know the peer's gateway yet), `Stale` (istiod receives nothing new from the peer), or `Unknown`. A newer operator may add values.
	// +required
	State PeerState `json:"state"`
	// message is istiod's own word for a state that is `Unknown`.
	// +optional
	Message string `json:"message,omitempty"`
	// marker is the last address of the peer's Service `meshfleet-discovery` that every istiod of this member has received.
	// +optional
	Marker string `json:"marker,omitempty"`
}

// DiscoveryMarker is an endpoint that shows whether peers receive changes of a member.
type DiscoveryMarker struct {
	// address is the only endpoint of the Service. Nothing listens there.
	// +required
	Address string `json:"address"`
	// since is the time at which the endpoint was written.
	// +required
	Since metav1.Time `json:"since"`
	// tokenReplaced is the last time at which the reader token was replaced because the API server no longer accepted it. Peers
	// receive nothing until they have the new token, which takes some minutes.
	// +optional
	TokenReplaced *metav1.Time `json:"tokenReplaced,omitempty"`
}

// RestartNeed is the reason why istiod must be restarted.
type RestartNeed struct {
	// reason is `PeerStuck` if istiod no longer reads a peer, `RemoteSecretChanged` if the API server or the CA of a peer
	// has changed, or `IntermediateNotInForce` if istiod has not taken over a renewed intermediate.
	// +required
	Reason string `json:"reason"`
	// message names the peers, or the pods and the expiries of both intermediates.
	// +required
	Message string `json:"message"`
}
