package discovery

import (
	"context"
	"errors"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestNoRestartForWhatWasNotSeen wants no restart of istiod to be asked for, or held up, by what an earlier pass has found.
func TestNoRestartForWhatWasNotSeen(t *testing.T) {
	broken := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no route")
		},
	})
	s, pass := &Steps{Hub: broken}, membertest.Pass(t, testutil.Member("east", reading("west")))
	s.memory.Of(pass).changed = []string{"west"}
	if got := s.remoteSecrets(t.Context(), pass); got.Kind != phase.Retry {
		t.Errorf("result %+v, want it to be tried again", got)
	}
	if changed := s.memory.Of(pass).changed; len(changed) > 0 {
		t.Errorf("%v are said to have changed", changed)
	}
}

// TestMembersBehindAProxy wants what peers lack to be reported at once, and a mesh whose peers do without the proxy to be left alone.
func TestMembersBehindAProxy(t *testing.T) {
	named := func(m *meshv1alpha1.MeshMember) { m.Spec.APIServer = server }
	cases := map[string]struct {
		proxied    bool
		member     *meshv1alpha1.MeshMember
		peer       meshv1alpha1.PeerState
		wantReason string
	}{
		"no proxy":                   {member: testutil.Member("east", reading("west")), peer: meshv1alpha1.PeerTimedOut, wantReason: meshv1alpha1.ReasonReady},
		"a proxy":                    {proxied: true, member: testutil.Member("east", reading("west")), wantReason: meshv1alpha1.ReasonAPIServerRequired},
		"a peer that cannot read it": {proxied: true, member: testutil.Member("east", reading("west")), peer: meshv1alpha1.PeerTimedOut, wantReason: meshv1alpha1.ReasonAPIServerRequired},
		"a peer that reads it":       {proxied: true, member: testutil.Member("east", reading("west")), peer: meshv1alpha1.PeerSynced, wantReason: meshv1alpha1.ReasonReady},
		"a peer that has read it":    {proxied: true, member: testutil.Member("east", reading("west")), peer: meshv1alpha1.PeerGatewayUnknown, wantReason: meshv1alpha1.ReasonReady},
		"another server for peers":   {proxied: true, member: testutil.Member("east", reading("west"), named), wantReason: meshv1alpha1.ReasonReady},
		"no peers":                   {proxied: true, member: testutil.Member("east"), wantReason: meshv1alpha1.ReasonReady},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			west := testutil.Member("west")
			west.UID = "west"
			if c.peer != "" {
				west.Status.Discovery.Peers = []meshv1alpha1.PeerStatus{{Name: "east", State: c.peer}, {Name: "north", State: meshv1alpha1.PeerSynced}}
			}
			pass := membertest.Pass(t, c.member)
			pass.Hub = testutil.HubClient(t, c.member.DeepCopy(), west)
			got, err := reachableByPeers(t.Context(), pass, fleet.State{Server: "https://10.0.0.1:6443", Proxied: c.proxied})
			if err != nil || got.Reason != c.wantReason || (got.Kind == phase.Done) != (c.wantReason == meshv1alpha1.ReasonReady) {
				t.Errorf("result is %+v, %v, want reason %s", got, err, c.wantReason)
			}
		})
	}
}
