package member

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

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
	reads := func(state string) client.Object {
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
		"one that a peer reads stays, though its token was deleted": {member: []change{served}, hub: []client.Object{reads("closed")},
			wantTold: "it stays as it is, because these read it already: west"},
		"a peer that waits for it does not read it": {hub: []client.Object{reads(absent)}, wantStalled: true, wantWithheld: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := pass()
			s.member.UID, s.member.Status.ClusterUID = "east", hubUID
			s.member.Spec.Peers = []meshv1alpha1.Peer{{Name: "west"}}
			for _, c := range tt.member {
				c(s.member)
			}
			r := &Reconciler{Client: testutil.HubClient(t, tt.hub...), HubUID: hubUID}
			result := r.hubSecrets(t.Context(), s)
			if (result.Kind == phase.Stalled) != tt.wantStalled || tt.wantStalled && result.Reason != meshv1alpha1.ReasonHubSecretsReadable {
				t.Errorf("result %+v, want stalled: %t", result, tt.wantStalled)
			}
			if tt.wantStalled && s.member.Status.Trust.ClaimedRoot != mesh.NoRoot {
				t.Errorf("claimed root %q, want it known that there is none", s.member.Status.Trust.ClaimedRoot)
			}
			if !tt.wantStalled && result.Kind != phase.Done {
				t.Errorf("result %+v, want the pass to go on", result)
			}
			if s.withhold != tt.wantWithheld {
				t.Errorf("the token is withheld: %t, want %t", s.withhold, tt.wantWithheld)
			}
			if len(s.aside) != 1 || !s.aside[0].Aside {
				t.Fatalf("outcomes %+v, want one that Ready does not depend on", s.aside)
			}
			if told := s.aside[0].Result; (told.Kind != phase.Done) != (tt.wantTold != "") || !strings.Contains(told.Text(), tt.wantTold) {
				t.Errorf("condition %q, want %q in it", told.Text(), tt.wantTold)
			}
		})
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
			s := pass()
			s.withhold, s.member.Spec.Peers = true, tt.peers
			s.state = &memberState{applier: apply.New(s.remote, s.remote, apply.Owner{Installation: s.owner(), Namespace: s.namespace()})}
			r := &Reconciler{Client: testutil.HubClient(t, tokenOf()), HubUID: hubUID}
			if result := r.reader(t.Context(), s); result.Kind != tt.want {
				t.Errorf("result %+v, want kind %v", result, tt.want)
			}
			err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(tokenOf()), &corev1.Secret{})
			if apierrors.IsNotFound(err) != tt.gone {
				t.Errorf("token: %v, want it gone: %t", err, tt.gone)
			}
		})
	}
}
