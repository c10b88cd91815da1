package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/event"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestTellsSiblings(t *testing.T) {
	knows := func(gateway string) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) {
			m.Status.Discovery.IstiodGateways = []meshv1alpha1.NetworkGateway{{Address: gateway}}
		}
	}
	cases := map[string]struct {
		before, after *meshv1alpha1.MeshMember
		want          bool
	}{
		"nothing that concerns them":      {testutil.Member("east", testutil.Reached(1)), testutil.Member("east", testutil.Reached(2), testutil.Ready()), false},
		"it serves for the first time":    {testutil.Member("east", testutil.Reached(0)), testutil.Member("east", testutil.Reached(1)), true},
		"it serves again":                 {testutil.Member("east", testutil.Reached(0), testutil.Root("a")), testutil.Member("east", testutil.Reached(1), testutil.Root("a")), false},
		"its istiod knows other gateways": {testutil.Member("east", knows("a")), testutil.Member("east", knows("b")), true},
		"it leaves":                       {testutil.Member("east"), testutil.Member("east", testutil.Departing(meshv1alpha1.RemovalNow)), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tellsSiblings().Update(event.UpdateEvent{ObjectOld: c.before, ObjectNew: c.after}); got != c.want {
				t.Errorf("told: %v, want %v", got, c.want)
			}
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
	if got := r.siblings(t.Context(), east); len(got) != 1 || got[0].Name != "shop-west" {
		t.Errorf("siblings are %v, want west", got)
	}
}
