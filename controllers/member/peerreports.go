package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts"
	"github.com/meshfleet/meshfleet/internal/peercache"
)

// returning is how long a member counts as down after it is reached again: istiods try again to read a peer that they have lost
// at intervals that grow to half a minute.
const returning = 45 * time.Second

// peerReports have what members report of their own clusters.
type peerReports struct {
	// Hub reads MeshMembers.
	Hub client.Reader
	// Fleet has the connections to members.
	Fleet parts.Fleet
	// Istiod asks istiod pods.
	Istiod member.Istiod

	// endpoints has what members have of their own services.
	endpoints peercache.Cache[peercache.Hosts]
}

// add lets a member's gates hear what its peers themselves have: those that have served and are reached. A member that
// has not served yet has no istiod that could tell.
func (p *peerReports) add(m *gate.Subject, siblings []meshv1alpha1.MeshMember, now time.Time) {
	keys := map[string]types.NamespacedName{}
	for i := range siblings {
		sibling := &siblings[i]
		switch cluster := sibling.Spec.Cluster; {
		case !isReachedFor(sibling, returning, now):
			m.Down = append(m.Down, cluster)
		case mesh.HasServed(sibling) && slices.Contains(m.Peers, cluster):
			m.ReportingPeers = append(m.ReportingPeers, cluster)
			keys[cluster] = client.ObjectKeyFromObject(sibling)
		}
	}
	m.Count = func(ctx context.Context, peer string, age time.Duration) (peercache.Hosts, error) {
		key := keys[peer]
		return p.endpoints.Get(ctx, key, age, func(ctx context.Context) (peercache.Hosts, error) { return p.count(ctx, key) })
	}
}

// forget drops what is remembered of a member that is gone.
func (p *peerReports) forget(key types.NamespacedName) { p.endpoints.Forget(key) }

// isReachedFor says whether a member has been reached for so long.
func isReachedFor(m *meshv1alpha1.MeshMember, long time.Duration, now time.Time) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReachable)
	return c != nil && c.Status == metav1.ConditionTrue && now.Sub(c.LastTransitionTime.Time) >= long
}

// count asks every istiod pod of a member that is in use what the member's own cluster has. It runs beside the member's passes,
// of which it needs nothing and to which it leaves nothing: one that takes long, or waits for a peer itself, does not delay
// it, and what fails here is no condition of the member.
func (p *peerReports) count(ctx context.Context, key types.NamespacedName) (peercache.Hosts, error) {
	object := &meshv1alpha1.MeshMember{}
	if err := p.Hub.Get(ctx, key, object); err != nil {
		return nil, fmt.Errorf("read the member: %w", err)
	}
	connection, err := p.Fleet.Connection(key)
	if err != nil {
		return nil, err
	}
	pods, err := member.ServingIstiods(ctx, connection.Client, &object.Spec)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, errNoIstiod
	}
	answers, errs := make([]map[string][]string, len(pods)), make([]error, len(pods))
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() {
			answers[i], errs[i] = p.Istiod.ClusterEndpoints(ctx, connection.Config, pods[i].Namespace, pods[i].Name, object.Spec.Cluster)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		// Without an answer of each pod, nobody can say what none of them knows.
		return nil, fmt.Errorf("ask for endpoints: %w", err)
	}
	hosts := peercache.Merge(answers)
	if hosts.IsEmpty() {
		// Every cluster has at least the endpoint of its API server.
		return nil, errNoEndpoints
	}
	return hosts, nil
}

var (
	errNoIstiod    = errors.New("no istiod pod is ready")
	errNoEndpoints = errors.New("its istiod knows no endpoint of its own cluster")
)
