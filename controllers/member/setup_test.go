package member

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestTellsSiblings(t *testing.T) {
	knows := func(network, gateway string) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) {
			m.Status.Discovery.IstiodGateways = []meshv1alpha1.NetworkGateway{{Network: network, Address: gateway}}
		}
	}
	reads := func(peer string, state meshv1alpha1.PeerState) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) {
			m.Status.Discovery.Peers = append(m.Status.Discovery.Peers, meshv1alpha1.PeerStatus{Name: peer, State: state})
		}
	}
	all := []string{"shop-north", "shop-west"}
	cases := map[string]struct {
		before, after *meshv1alpha1.MeshMember
		want          []string
	}{
		"nothing that concerns them":               {testutil.Member("east", testutil.Reached(1)), testutil.Member("east", testutil.Reached(2), testutil.Ready()), nil},
		"it serves for the first time":             {testutil.Member("east", testutil.Reached(0)), testutil.Member("east", testutil.Reached(1)), all},
		"it serves again":                          {testutil.Member("east", testutil.Reached(0), testutil.Root("a")), testutil.Member("east", testutil.Reached(1), testutil.Root("a")), nil},
		"its istiod knows another address of west": {testutil.Member("east", knows("net-west", "a")), testutil.Member("east", knows("net-west", "b")), []string{"shop-west"}},
		"its istiod forgets that of north":         {testutil.Member("east", knows("net-north", "a")), testutil.Member("east"), []string{"shop-north"}},
		"its istiod has read west": {testutil.Member("east", reads("west", meshv1alpha1.PeerSyncing)), testutil.Member("east", reads("west", meshv1alpha1.PeerSynced)),
			[]string{"shop-west"}},
		"its istiod has read all": {testutil.Member("east"), testutil.Member("east", reads("west", meshv1alpha1.PeerSynced), reads("north", meshv1alpha1.PeerSynced)), all},
		"it leaves":               {testutil.Member("east"), testutil.Member("east", testutil.Departing(meshv1alpha1.RemovalNow)), all},
	}
	r := &Reconciler{Options: Options{Client: testutil.HubClient(t, testutil.Member("east"), testutil.Member("west"), testutil.Member("north"))}}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := priorityqueue.New[mcreconcile.Request]("test")
				r.toSiblings().Update(t.Context(), event.UpdateEvent{ObjectOld: c.before, ObjectNew: c.after}, q)
				synctest.Wait()
				var got []string
				for range q.Len() {
					told, _ := q.Get()
					got = append(got, told.Name)
				}
				q.ShutDown()
				slices.Sort(got)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestNamespacesAreCachedForTheirNetwork(t *testing.T) {
	for kind, selector := range CacheSelectors() {
		if !selector.Matches(labels.Set{charts.NetworkLabel: "any"}) || selector.Matches(labels.Set{"another": "label"}) {
			t.Errorf("%T is selected by %s", kind, selector)
		}
	}
}

func TestUsersOfSecret(t *testing.T) {
	east := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Spec.ClusterRef.KubeconfigSecret = &meshv1alpha1.SecretKeyRef{Name: "east-kubeconfig", Key: "value"}
		m.Spec.Peers = []meshv1alpha1.Peer{{Name: "north", ReaderSecret: "shop-north-reader"}}
	})
	r := &Reconciler{Options: Options{Client: testutil.HubClient(t, east, testutil.Member("west"))}}
	cases := map[string]struct {
		secret string
		want   []string
	}{
		"its intermediate":           {"shop-west-ca", []string{"shop-west"}},
		"its kubeconfig":             {"east-kubeconfig", []string{"shop-east"}},
		"the credential of its peer": {"shop-north-reader", []string{"shop-east"}},
		"its own credential":         {"shop-west-reader", []string{"shop-west"}},
		"a Secret that nobody uses":  {"another", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, key := range r.usersOfSecret(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.secret, Namespace: testutil.Namespace}}) {
				got = append(got, key.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSiblingsAreTheOthersOfTheMesh(t *testing.T) {
	elsewhere := testutil.Member("north", func(m *meshv1alpha1.MeshMember) {
		m.Name, m.Spec.Installation = "other-north", "other"
	})
	east, west := testutil.Member("east"), testutil.Member("west")
	r := &Reconciler{Options: Options{Client: testutil.HubClient(t, east, west, elsewhere)}}
	if got := r.siblings(t.Context(), east, audience{isAll: true}); len(got) != 1 || got[0].Name != "shop-west" {
		t.Errorf("siblings are %v, want west", got)
	}
}
