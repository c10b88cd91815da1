package discovery

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestPeerState(t *testing.T) {
	const secret = "istio-system/istio-remote-secret-west"
	clusters := []istiod.RemoteCluster{
		{ID: "east", SyncStatus: "synced"},
		{ID: "west", SecretName: secret, SyncStatus: "synced"},
		{ID: "north", SecretName: "istio-system/istio-remote-secret-north", SyncStatus: "timeout"},
		{ID: "central", SecretName: "istio-system/istio-remote-secret-central", SyncStatus: "draining"},
		{ID: "south", SecretName: "istio-system/made-by-hand", SyncStatus: "synced"},
	}
	cases := map[string]struct {
		peer    string
		want    meshv1alpha1.PeerState
		message string
	}{
		"a peer that is synced":              {"west", meshv1alpha1.PeerSynced, ""},
		"one for which istiod has timed out": {"north", meshv1alpha1.PeerTimedOut, ""},
		"a state of a newer istiod":          {"central", meshv1alpha1.PeerUnknown, "draining"},
		"a peer that istiod does not list":   {"nowhere", meshv1alpha1.PeerMissing, ""},
		"a peer that is read in another way": {"south", meshv1alpha1.PeerForeign, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, message := peerState(byID(clusters), c.peer, "istio-system/istio-remote-secret-"+c.peer); got != c.want || message != c.message {
				t.Errorf("state is %q (%q), want %q (%q)", got, message, c.want, c.message)
			}
		})
	}
	if got, _ := peerState(nil, "west", secret); got != meshv1alpha1.PeerMissing {
		t.Errorf("without an answer the state is %q, want %q", got, meshv1alpha1.PeerMissing)
	}
}

func TestAllSynced(t *testing.T) {
	peer := func(state meshv1alpha1.PeerState) meshv1alpha1.PeerStatus {
		return meshv1alpha1.PeerStatus{Name: string(state), State: state}
	}
	if !allSynced(nil) || !allSynced([]meshv1alpha1.PeerStatus{peer(meshv1alpha1.PeerSynced)}) {
		t.Error("synced peers are taken for others")
	}
	if allSynced([]meshv1alpha1.PeerStatus{peer(meshv1alpha1.PeerSynced), peer(meshv1alpha1.PeerTimedOut)}) {
		t.Error("a peer that is not synced is passed over")
	}
}

func TestVerificationInputs(t *testing.T) {
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{UID: "a"}}, {ObjectMeta: metav1.ObjectMeta{UID: "b"}}}
	secrets := []metav1.PartialObjectMetadata{
		{ObjectMeta: metav1.ObjectMeta{Name: "x", ResourceVersion: "1"}}, {ObjectMeta: metav1.ObjectMeta{Name: "y", ResourceVersion: "1"}},
	}
	pass := &member.Pass{Object: testutil.Member("east"), Now: testutil.Now}
	sum := verificationInputs(pass, pods, secrets, expectedPeers{})
	slices.Reverse(pods)
	slices.Reverse(secrets)
	if verificationInputs(pass, pods, secrets, expectedPeers{}) != sum {
		t.Error("the order of the inputs changes the proof")
	}
	if verificationInputs(pass, pods[:1], secrets, expectedPeers{}) == sum {
		t.Error("a pod that is gone keeps the proof")
	}
	secrets[0].ResourceVersion = "2"
	if verificationInputs(pass, pods, secrets, expectedPeers{}) == sum {
		t.Error("a Secret that changed keeps the proof")
	}
	secrets[0].ResourceVersion = "1"
	pass.Object.Spec.Peers = []meshv1alpha1.Peer{{Name: "west"}}
	withWest := verificationInputs(pass, pods, secrets, expectedPeers{})
	if withWest == sum {
		t.Error("a peer that is new keeps the proof")
	}
	if verificationInputs(pass, pods, secrets, serving("west")) == withWest {
		t.Error("a peer that has begun to serve keeps the proof, and is overdue at once")
	}
}

// serving are expectations of peers that have served.
func serving(peers ...string) expectedPeers {
	e := expectedPeers{serving: map[string]bool{}}
	for _, p := range peers {
		e.serving[p] = true
	}
	return e
}

func TestReportPeers(t *testing.T) {
	peers := func(north, west meshv1alpha1.PeerState) []meshv1alpha1.PeerStatus {
		return []meshv1alpha1.PeerStatus{{Name: "north", State: north}, {Name: "west", State: west}}
	}
	const long = peersDeadline
	cases := map[string]struct {
		peers      []meshv1alpha1.PeerStatus
		expected   expectedPeers
		since      time.Duration
		wantKind   phase.Kind
		wantSynced int32
		wantWord   string
	}{
		"no peers":                                {wantSynced: 0},
		"all are synced":                          {peers: peers(meshv1alpha1.PeerSynced, meshv1alpha1.PeerSynced), expected: serving("north", "west"), wantSynced: 2},
		"one is behind":                           {peers: peers(meshv1alpha1.PeerSyncing, meshv1alpha1.PeerSynced), expected: serving("north", "west"), wantKind: phase.Wait, wantSynced: 1, wantWord: "north is Syncing"},
		"one is behind for too long":              {peers: peers(meshv1alpha1.PeerMissing, meshv1alpha1.PeerSynced), expected: serving("north", "west"), since: long, wantKind: phase.Retry, wantSynced: 1, wantWord: "north is Missing"},
		"a newcomer that stalls holds up nobody":  {peers: peers(meshv1alpha1.PeerMissing, meshv1alpha1.PeerSynced), expected: serving("west"), since: long, wantSynced: 1, wantWord: "north is Missing"},
		"nor does one that cannot be read":        {peers: peers(meshv1alpha1.PeerTimedOut, meshv1alpha1.PeerSynced), expected: serving("west"), since: long, wantSynced: 1, wantWord: "north is TimedOut"},
		"one that serves does, beside a newcomer": {peers: peers(meshv1alpha1.PeerMissing, meshv1alpha1.PeerSyncing), expected: serving("west"), wantKind: phase.Wait, wantSynced: 0, wantWord: "west is Syncing"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pass := &member.Pass{Object: testutil.Member("east"), Now: testutil.Now}
			t.Cleanup(func() { metrics.Forget(pass.Key()) })
			got := reportPeers(pass, &verification{at: testutil.Now, peers: c.peers, since: testutil.Now.Add(-c.since)}, c.expected)
			if got.Kind != c.wantKind || pass.Object.Status.Discovery.SyncedPeers != c.wantSynced || !strings.Contains(got.Text(), c.wantWord) {
				t.Errorf("kind %v, synced %d, %q; want %v, %d and the word %q",
					got.Kind, pass.Object.Status.Discovery.SyncedPeers, got.Text(), c.wantKind, c.wantSynced, c.wantWord)
			}
			if got.Kind != phase.Retry && got.After == 0 {
				t.Error("istiod is never asked again")
			}
		})
	}
}

// TestQuietWithAnyIngress wants istiod to be asked once a second only while a peer's gateway changes, whatever shape the peers'
// ingress has.
func TestQuietWithAnyIngress(t *testing.T) {
	at := func(network, address string) meshv1alpha1.NetworkGateway {
		return meshv1alpha1.NetworkGateway{Network: network, Address: address}
	}
	dual := []meshv1alpha1.NetworkGateway{at("net-west", "2001:db8::1"), at("net-west", "203.0.113.1")}
	one := dual[1:]
	for name, c := range map[string]struct {
		known, acknowledged, announced []meshv1alpha1.NetworkGateway
		named                          bool
		since                          time.Duration
		want                           time.Duration
	}{
		"both families are announced":            {known: dual, acknowledged: dual, announced: dual, want: reverify},
		"one family is not known yet":            {known: one, acknowledged: one, announced: dual, want: outcome.ShortWait},
		"proxies have not acknowledged":          {known: dual, acknowledged: one, announced: dual, want: outcome.ShortWait},
		"a host name, resolved to two addresses": {known: dual, acknowledged: dual, named: true, want: reverify},
		"the former gateway is still known":      {known: dual, acknowledged: dual, announced: one, want: outcome.ShortWait},
		"a user's own gateway is known for long": {known: dual, acknowledged: dual, announced: one, since: peersDeadline, want: reverify},
	} {
		t.Run(name, func(t *testing.T) {
			pass := &member.Pass{Object: testutil.Member("east"), Now: testutil.Now}
			t.Cleanup(func() { metrics.Forget(pass.Key()) })
			pass.Object.Status.Discovery.ProxyGateways = c.acknowledged
			expected := expectedPeers{gateways: map[string][]meshv1alpha1.NetworkGateway{"west": c.announced}, named: map[string]bool{"net-west": c.named}}
			v := &verification{at: testutil.Now, since: testutil.Now.Add(-c.since), gateways: c.known, agree: true}
			if got := reportPeers(pass, v, expected); got.After != c.want {
				t.Errorf("istiod is asked again after %s, want %s", got.After, c.want)
			}
			// The same by passes in an hour in which nothing changes: a former gateway is forgotten, or is a user's own, in time.
			most := int(time.Hour/reverify) + int(peersDeadline/outcome.ShortWait)
			if c.want == reverify {
				most = int(time.Hour / reverify)
			} else if !slices.Equal(c.known, c.acknowledged) || !isSubset(c.announced, c.known) {
				// It waits for what istiod and proxies will report.
				return
			}
			passes := 0
			for pass.Now.Before(testutil.Now.Add(time.Hour)) {
				if pass.Now.Sub(v.at) >= reverify {
					v.at = pass.Now
				}
				passes++
				pass.Now = pass.Now.Add(reportPeers(pass, v, expected).After)
			}
			if passes > most {
				t.Errorf("%d passes in an hour, want at most %d", passes, most)
			}
		})
	}
}

func isSubset(a, b []meshv1alpha1.NetworkGateway) bool {
	return !slices.ContainsFunc(a, func(g meshv1alpha1.NetworkGateway) bool { return !slices.Contains(b, g) })
}

func TestReadExpected(t *testing.T) {
	uid := func(m *meshv1alpha1.MeshMember) { m.UID = types.UID("uid of " + m.Name) }
	gatewayAt := func(address string) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) {
			m.Status.Gateway = meshv1alpha1.GatewayStatus{Addresses: []string{address}, Announced: &metav1.Time{Time: testutil.Now}}
		}
	}
	east := testutil.Member("east", uid, testutil.Reached(1), gatewayAt("192.0.2.1"))
	hub := testutil.HubClient(t, east,
		testutil.Member("west", uid, testutil.Reached(1), gatewayAt("192.0.2.2")), testutil.Member("down", uid, testutil.Reached(0), testutil.Root("a")),
		testutil.Member("cloud", uid, testutil.Reached(1), gatewayAt("lb.example.com")), testutil.Member("north", uid, testutil.Reached(0)),
		testutil.Member("gone", uid, testutil.Reached(1), gatewayAt("192.0.2.3"), testutil.Departing(meshv1alpha1.RemovalNow)))
	got, err := readExpected(t.Context(), &member.Pass{Object: east, Hub: hub, Now: testutil.Now})
	if err != nil {
		t.Fatal(err)
	}
	want := expectedPeers{
		serving: map[string]bool{"west": true, "down": true, "cloud": true}, gateways: map[string][]meshv1alpha1.NetworkGateway{"west": {{Network: "net-west", Address: "192.0.2.2"}}}, announced: testutil.Now,
		markers: map[string]meshv1alpha1.DiscoveryMarker{}, reachable: map[string]bool{"west": false, "down": false, "cloud": false, "north": false},
		named: map[string]bool{"net-cloud": true}, byName: map[string]namedGateway{"cloud": {network: "net-cloud", names: []string{"lb.example.com"}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(expectedPeers{}, namedGateway{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestGatewayByHostName wants an address of the peer's network in every istiod pod, whichever it has resolved: the name itself proves nothing.
func TestGatewayByHostName(t *testing.T) {
	at := func(pod string, addresses ...string) heldBy {
		var gateways []istiod.NetworkGateway
		for _, a := range addresses {
			gateways = append(gateways, istiod.NetworkGateway{Network: "net-cloud", Cluster: "cloud", Addr: a})
		}
		return heldBy{pod: pod, gateways: append(gateways, istiod.NetworkGateway{Network: "net-west", Cluster: "west", Addr: "203.0.113.9"})}
	}
	for name, c := range map[string]struct {
		answers []heldBy
		want    meshv1alpha1.PeerState
	}{
		"every pod has resolved it":             {[]heldBy{at("a", "203.0.113.1"), at("b", "203.0.113.1")}, meshv1alpha1.PeerSynced},
		"pods have been given other addresses":  {[]heldBy{at("a", "203.0.113.1"), at("b", "203.0.113.2")}, meshv1alpha1.PeerSynced},
		"one pod has not resolved it":           {[]heldBy{at("a", "203.0.113.1"), at("b")}, meshv1alpha1.PeerGatewayUnknown},
		"no pod has, as without DNS for it":     {[]heldBy{at("a")}, meshv1alpha1.PeerGatewayUnknown},
		"an IPv6 address that it resolves to":   {[]heldBy{at("a", "2001:db8::1")}, meshv1alpha1.PeerSynced},
		"several addresses that it resolves to": {[]heldBy{at("a", "203.0.113.1", "203.0.113.2")}, meshv1alpha1.PeerSynced},
	} {
		t.Run(name, func(t *testing.T) {
			east := testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.Peers = []meshv1alpha1.Peer{{Name: "cloud"}} })
			var pods []corev1.Pod
			for _, a := range c.answers {
				pods = append(pods, *membertest.IstiodPod(a.pod, "1-29-1"))
			}
			expected := expectedPeers{named: map[string]bool{"net-cloud": true}, byName: map[string]namedGateway{"cloud": {network: "net-cloud", names: []string{"lb.example.com"}}}}
			v := &verification{}
			if err := (&Steps{Istiod: heldByPods{answers: c.answers}}).askIstiod(t.Context(), membertest.Pass(t, east), pods, expected, v); err != nil {
				t.Fatal(err)
			}
			got := v.peers[0]
			if got.State != c.want || (c.want == meshv1alpha1.PeerGatewayUnknown) != strings.Contains(got.Message, "holds no address of lb.example.com") {
				t.Errorf("state %s (%s), want %s", got.State, got.Message, c.want)
			}
		})
	}
}

// heldBy are the gateways that an istiod pod knows.
type heldBy struct {
	pod      string
	gateways []istiod.NetworkGateway
}

// heldByPods answers for pods that have read cluster cloud.
type heldByPods struct {
	member.Istiod
	answers []heldBy
}

func (h heldByPods) of(pod string) heldBy {
	return h.answers[slices.IndexFunc(h.answers, func(b heldBy) bool { return b.pod == pod })]
}

func (h heldByPods) Gateways(_ context.Context, _ *rest.Config, _, pod string) ([]istiod.NetworkGateway, error) {
	return h.of(pod).gateways, nil
}

func (h heldByPods) Clusters(_ context.Context, _ *rest.Config, namespace, _ string) ([]istiod.RemoteCluster, error) {
	return []istiod.RemoteCluster{{ID: "cloud", SecretName: namespace + "/" + RemoteSecretName("cloud"), SyncStatus: "synced"}}, nil
}

// TestAskedWhileAPeerReplacesItsGateway asks often only while a peer with a host name waits for what this member's istiod holds.
func TestAskedWhileAPeerReplacesItsGateway(t *testing.T) {
	replacing := func(m *meshv1alpha1.MeshMember) {
		m.UID = "west"
		m.Status.Gateway = meshv1alpha1.GatewayStatus{
			Addresses: []string{"lb.example.com"}, Announced: &metav1.Time{Time: testutil.Now}, Takeover: &meshv1alpha1.GatewayTakeover{},
		}
	}
	quiet := func(m *meshv1alpha1.MeshMember) {
		replacing(m)
		m.Status.Gateway.Takeover = nil
	}
	byAddress := func(m *meshv1alpha1.MeshMember) {
		replacing(m)
		m.Status.Gateway.Addresses = []string{"203.0.113.1"}
	}
	for name, c := range map[string]struct {
		peer testutil.MemberOption
		want bool
	}{"it replaces it": {replacing, true}, "it has replaced it": {quiet, false}, "by an address, which is known beforehand": {byAddress, false}} {
		t.Run(name, func(t *testing.T) {
			east := testutil.Member("east")
			expected, err := readExpected(t.Context(), &member.Pass{Object: east, Hub: testutil.HubClient(t, east, testutil.Member("west", c.peer)), Now: testutil.Now})
			if err != nil || expected.replaced != c.want {
				t.Errorf("replaced: %v, want %v; error %v", expected.replaced, c.want, err)
			}
			pass := &member.Pass{Object: east, Now: testutil.Now}
			t.Cleanup(func() { metrics.Forget(pass.Key()) })
			after := reportPeers(pass, &verification{at: testutil.Now, since: testutil.Now, agree: true}, expectedPeers{replaced: c.want}).After
			if (after == replacedPace) != c.want {
				t.Errorf("istiod is asked again after %s", after)
			}
		})
	}
}
