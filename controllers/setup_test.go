package controllers

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/event"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestTellsSiblings(t *testing.T) {
	knows := func(gateway string) memberOption {
		return func(m *meshv1alpha1.MeshMember) { m.Status.Discovery.Gateways = []string{gateway} }
	}
	cases := map[string]struct {
		before, after *meshv1alpha1.MeshMember
		want          bool
	}{
		"nothing that concerns them":      {testutil.Member("east", reached(1)), testutil.Member("east", reached(2), ready()), false},
		"it serves for the first time":    {testutil.Member("east", reached(0)), testutil.Member("east", reached(1)), true},
		"it serves again":                 {testutil.Member("east", reached(0), root("a")), testutil.Member("east", reached(1), root("a")), false},
		"its istiod knows other gateways": {testutil.Member("east", knows("a")), testutil.Member("east", knows("b")), true},
		"it leaves":                       {testutil.Member("east"), testutil.Member("east", departing(meshv1alpha1.RemovalNow)), true},
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
