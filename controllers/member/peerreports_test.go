package member

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/parts"
	"github.com/meshfleet/meshfleet/internal/peercache"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// playedFleet has the members that are connected.
type playedFleet struct {
	parts.Fleet
	members map[types.NamespacedName]*fleet.Connection
}

func (p playedFleet) Connection(key types.NamespacedName) (*fleet.Connection, error) {
	if m := p.members[key]; m != nil {
		return m, nil
	}
	return nil, fleet.ErrNotConnected
}

// knowingIstiod answers by pod for what it knows of its own cluster; what it is not given is an error.
type knowingIstiod struct {
	member.Istiod
	cluster string
	known   map[string]map[string][]string
}

func (k knowingIstiod) ClusterEndpoints(_ context.Context, _ *rest.Config, _, pod, cluster string) (map[string][]string, error) {
	if known, ok := k.known[pod]; ok && cluster == k.cluster {
		return known, nil
	}
	return nil, errRefused
}

var errRefused = errors.New("connection refused")

func TestCount(t *testing.T) {
	const other = "1-30-0"
	notReady := func(p *corev1.Pod) { p.Status.Conditions = nil }
	web := map[string]map[string][]string{"a": {"web": {"1", "2"}}, "b": {"web": {"2"}}, "new": {"web": nil}}
	for name, test := range map[string]struct {
		pods         []client.Object
		known        map[string]map[string][]string
		notConnected bool
		want         peercache.Hosts
		wantErr      error
	}{
		"every pod of the revision in use is asked": {
			pods: []client.Object{membertest.IstiodPod("a", testutil.Revision), membertest.IstiodPod("b", testutil.Revision)}, known: web,
			want: peercache.Hosts{"web": {All: []string{"2"}, Any: []string{"1", "2"}}},
		},
		"a revision that is not in use yet is not": {
			pods: []client.Object{membertest.IstiodPod("b", testutil.Revision), membertest.IstiodPod("new", other)}, known: web,
			want: peercache.Hosts{"web": {All: []string{"2"}, Any: []string{"2"}}},
		},
		"no pod is ready":           {pods: []client.Object{membertest.IstiodPod("a", testutil.Revision, notReady), membertest.IstiodPod("new", other)}, wantErr: errNoIstiod},
		"one pod does not answer":   {pods: []client.Object{membertest.IstiodPod("a", testutil.Revision), membertest.IstiodPod("c", testutil.Revision)}, known: web, wantErr: errRefused},
		"istiod knows nothing":      {pods: []client.Object{membertest.IstiodPod("new", testutil.Revision)}, known: web, wantErr: errNoEndpoints},
		"the member is not reached": {notConnected: true, wantErr: fleet.ErrNotConnected},
	} {
		t.Run(name, func(t *testing.T) {
			west := testutil.Member("west")
			key := client.ObjectKeyFromObject(west)
			connections := playedFleet{members: map[types.NamespacedName]*fleet.Connection{}}
			if !test.notConnected {
				connections.members[key] = &fleet.Connection{Client: fake.NewClientBuilder().WithObjects(test.pods...).Build()}
			}
			p := &peerReports{
				Hub: testutil.HubClient(t, west), Fleet: connections, Istiod: knowingIstiod{cluster: "west", known: test.known},
			}
			got, err := p.count(t.Context(), key)
			if !errors.Is(err, test.wantErr) {
				t.Errorf("error %v, want %v", err, test.wantErr)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("count (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPeersReport(t *testing.T) {
	reachable := func(m *meshv1alpha1.MeshMember) {
		m.Status.Conditions = append(m.Status.Conditions, metav1.Condition{Type: meshv1alpha1.ConditionReachable, Status: metav1.ConditionTrue})
	}
	returns := func(m *meshv1alpha1.MeshMember) {
		reachable(m)
		m.Status.Conditions[len(m.Status.Conditions)-1].LastTransitionTime = metav1.NewTime(testutil.Now.Add(time.Second - returning))
	}
	west := testutil.Member("west", testutil.Reached(1), reachable)
	siblings := []meshv1alpha1.MeshMember{
		*west, *testutil.Member("down", testutil.Reached(1)), *testutil.Member("returning", testutil.Reached(1), returns), *testutil.Member("newcomer", reachable), *testutil.Member("stranger", testutil.Reached(1), reachable),
	}
	connected := &fleet.Connection{Client: fake.NewClientBuilder().WithObjects(membertest.IstiodPod("a", testutil.Revision)).Build()}
	p := &peerReports{
		Hub: testutil.HubClient(t, west), Fleet: playedFleet{members: map[types.NamespacedName]*fleet.Connection{client.ObjectKeyFromObject(west): connected}},
		Istiod: knowingIstiod{cluster: "west", known: map[string]map[string][]string{"a": {"web": {"1"}}}},
	}
	m := gate.Subject{Peers: []string{"down", "newcomer", "returning", "west"}}
	p.add(&m, siblings, testutil.Now)
	if !slices.Equal(m.Down, []string{"down", "returning"}) || !slices.Equal(m.ReportingPeers, []string{"west"}) {
		t.Errorf("down: %v, heard: %v, want down, returning and west", m.Down, m.ReportingPeers)
	}
	got, err := m.Count(t.Context(), "west", 0)
	if err != nil || got.IsEmpty() {
		t.Errorf("west says %v, %v, want one address", got, err)
	}
}
