package gate

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/peercache"
)

// Subject is what gates judge: a revision of one member, and the one that it replaces.
type Subject struct {
	// Config is for port-forwards.
	Config *rest.Config
	// Client reads the API server itself: injected pods and users' objects have no label of ours.
	Client client.Client
	// Namespace of istiod.
	Namespace string
	// Installation is the value of the label that names the installation.
	Installation string
	// Cluster is the cluster ID.
	Cluster string
	// From and To are revisions. From is empty when there is none to compare with.
	From, To string
	// FromVersion and ToVersion are their releases.
	FromVersion, ToVersion string
	// Peers are the cluster IDs of the peers.
	Peers []string
	// Down are the peers that cannot be reached now. A new istiod cannot read them, and that is no fault of its own: gates
	// are Inconclusive, or with IgnoreDown leave these peers out.
	Down       []string
	IgnoreDown bool
	// IsBack means that the member itself was cut off until a moment ago: its istiods may not have read their peers again. No gate
	// fails the member for that.
	IsBack bool
	// ReportingPeers are the peers that report their own endpoints, through Count: those that have served and can be reached.
	// What is known of the others is compared with the former revision alone.
	ReportingPeers []string
	Count          CountFunc
	// Tags are the names of the tags that will move, `default` among them.
	Tags []string

	// Mesh is the MeshInstallation, Upgrade the name of the MeshUpgrade, and Stage the one that the member was ordered.
	Mesh    types.NamespacedName
	Upgrade string
	Stage   meshv1alpha1.Stage
	// MovedAt is when the tags were ordered to point at To. Zero: they have not moved.
	MovedAt time.Time
	// Hub reads Secrets of the hub.
	Hub client.Reader

	// Looks is what the gates have seen in earlier passes of the stage. Gates that count only what several looks show need it.
	Looks *Looks

	// Now is the time of the pass. Zero: the time at which a gate is asked.
	Now time.Time

	previous []meshv1alpha1.GateResult
}

// CountFunc returns the endpoints that a peer has itself, as of so long ago at most. With an age of zero, they are counted
// after the call.
type CountFunc func(ctx context.Context, peer string, age time.Duration) (peercache.Hosts, error)

// at is the subject with a time.
func (s Subject) at() Subject {
	if s.Now.IsZero() {
		s.Now = time.Now()
	}
	return s
}

// last is the former result of a gate, or nil.
func (s *Subject) last(name string) *meshv1alpha1.GateResult {
	i := slices.IndexFunc(s.previous, func(r meshv1alpha1.GateResult) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return s.previous[i].DeepCopy()
}
