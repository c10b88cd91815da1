package discovery

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const hubUID = "hub-uid"

// tokenOf is the hub Secret with the reader token of the member east.
func tokenOf() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: testutil.Member("east").Namespace, Name: mesh.ReaderSecretName(testutil.Member("east").Spec.Installation, "east"),
		Labels: map[string]string{meshv1alpha1.LabelInstallation: testutil.Member("east").Spec.Installation, meshv1alpha1.LabelMember: "east"},
	}}
}

func TestHubSecrets(t *testing.T) {
	served := func(m *meshv1alpha1.MeshMember) { m.Status.Trust.RootFingerprints = []string{"a"} }
	alone := func(m *meshv1alpha1.MeshMember) { m.Spec.Peers = nil }
	accepts := func(m *meshv1alpha1.MeshMember) { m.Spec.HubSecrets = meshv1alpha1.HubSecretsReadableByPeers }
	elsewhere := func(m *meshv1alpha1.MeshMember) { m.Status.ClusterUID = "another" }
	reads := func(state meshv1alpha1.PeerState) client.Object {
		return testutil.Member("west", func(m *meshv1alpha1.MeshMember) {
			m.UID = "west"
			m.Status.Discovery.Peers = []meshv1alpha1.PeerStatus{{Name: "east", State: state, Marker: "203.0.113.1"}}
		})
	}
	type change = func(*meshv1alpha1.MeshMember)
	tests := map[string]struct {
		member       []change
		hub          []client.Object
		wantStalled  bool
		wantWithheld bool
		wantTold     string // of the condition when it is not True
	}{
		"another cluster":                              {member: []change{elsewhere}},
		"the hub alone gets no token":                  {member: []change{alone}, wantWithheld: true},
		"the hub alone, if the spec accepts it":        {member: []change{alone, accepts}, wantWithheld: true},
		"the hub beside others is refused":             {wantStalled: true, wantWithheld: true},
		"the spec accepts it":                          {member: []change{accepts}, wantTold: "spec.members[east].hubSecrets accepts it"},
		"one that served alone stays, without a token": {member: []change{served}, wantWithheld: true},
		"one whose token is there stays as it is": {member: []change{served}, hub: []client.Object{tokenOf()},
			wantTold: "it stays as it is, because these read it already: west"},
		"one that a peer reads stays, though its token was deleted": {member: []change{served}, hub: []client.Object{reads(meshv1alpha1.PeerClosed)},
			wantTold: "it stays as it is, because these read it already: west"},
		"a peer that waits for it does not read it": {hub: []client.Object{reads(meshv1alpha1.PeerMissing)}, wantStalled: true, wantWithheld: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			east := testutil.Member("east", append([]change{func(m *meshv1alpha1.MeshMember) {
				m.UID, m.Status.ClusterUID = "east", hubUID
				m.Spec.Peers = []meshv1alpha1.Peer{{Name: "west"}}
			}}, tt.member...)...)
			pass := membertest.Pass(t, east)
			hub := testutil.HubClient(t, tt.hub...)
			pass.Hub = hub
			s := &Steps{Hub: hub, HubUID: hubUID}
			result := s.hubSecrets(t.Context(), pass)
			if (result.Kind == phase.Stalled) != tt.wantStalled || tt.wantStalled && result.Reason != meshv1alpha1.ReasonHubSecretsReadable {
				t.Errorf("result %+v, want stalled: %t", result, tt.wantStalled)
			}
			if !tt.wantStalled && result.Kind != phase.Done {
				t.Errorf("result %+v, want the pass to go on", result)
			}
			if withhold := s.memory.Of(pass).withhold; withhold != tt.wantWithheld {
				t.Errorf("the token is withheld: %t, want %t", withhold, tt.wantWithheld)
			}
			if len(pass.Aside) != 1 || !pass.Aside[0].Aside {
				t.Fatalf("outcomes %+v, want one that Ready does not depend on", pass.Aside)
			}
			if told := pass.Aside[0].Result; (told.Kind != phase.Done) != (tt.wantTold != "") || !strings.Contains(told.Text(), tt.wantTold) {
				t.Errorf("condition %q, want %q in it", told.Text(), tt.wantTold)
			}
		})
	}
}

// TestWithholdingEnds wants the token of a hub to be made once the spec accepts it, although it was withheld in the last pass.
func TestWithholdingEnds(t *testing.T) {
	east := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Status.ClusterUID, m.Spec.Peers = hubUID, []meshv1alpha1.Peer{{Name: "west"}}
	})
	pass := membertest.Pass(t, east)
	s := &Steps{HubUID: hubUID}
	for _, accepted := range []meshv1alpha1.HubSecrets{"", meshv1alpha1.HubSecretsReadableByPeers} {
		east.Spec.HubSecrets = accepted
		s.hubSecrets(t.Context(), pass)
		if got, want := s.memory.Of(pass).withhold, accepted == ""; got != want {
			t.Errorf("with hubSecrets %q the token is withheld: %t, want %t", accepted, got, want)
		}
	}
}

// TestHubIsRefusedBeforeTheClaim wants nothing to be written in a hub that is refused, and its root to be told all the same: the claim
// is read in the round of the refusal, which runs to its end, and made in a later one.
func TestHubIsRefusedBeforeTheClaim(t *testing.T) {
	steps := (&Steps{}).Part().Steps
	i := slices.IndexFunc(steps, func(s member.Step) bool { return s.Name == "hubSecrets" })
	if i < 0 || steps[i].Round != member.Vet || !steps[i].Gate {
		t.Errorf("steps %+v, want hubSecrets to be a gate of round Vet", steps)
	}
}

// TestWithheld makes no token of a hub, deletes one that no peer has read, and says what peers wait for.
func TestWithheld(t *testing.T) {
	for name, tt := range map[string]struct {
		peers []meshv1alpha1.Peer
		want  phase.Kind
		gone  bool
	}{
		"without peers an old token goes": {nil, phase.Done, true},
		"peers are refused":               {[]meshv1alpha1.Peer{{Name: "west"}}, phase.Stalled, false},
	} {
		t.Run(name, func(t *testing.T) {
			hub := testutil.HubClient(t, tokenOf())
			pass := membertest.Pass(t, testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.Peers = tt.peers }))
			pass.Hub = hub
			s := &Steps{Hub: hub, HubUID: hubUID}
			s.memory.Of(pass).withhold = true
			if result := s.reader(t.Context(), pass); result.Kind != tt.want {
				t.Errorf("result %+v, want kind %v", result, tt.want)
			}
			err := hub.Get(t.Context(), client.ObjectKeyFromObject(tokenOf()), &corev1.Secret{})
			if apierrors.IsNotFound(err) != tt.gone {
				t.Errorf("token: %v, want it gone: %t", err, tt.gone)
			}
		})
	}
}
