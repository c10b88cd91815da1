// Package membertest makes passes over members whose clusters are played.
package membertest

import (
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// Pass is a pass over a member at testutil.Now. Its cluster has the objects given, its hub the member itself.
func Pass(t *testing.T, m *meshv1alpha1.MeshMember, objects ...client.Object) *member.Pass {
	t.Helper()
	return Over(t, m, fake.NewClientBuilder().WithObjects(objects...).Build())
}

// Over is a pass over a member that is reached by a client.
func Over(t *testing.T, m *meshv1alpha1.MeshMember, remote client.Client) *member.Pass {
	t.Helper()
	return Passes(t, m, remote)(testutil.Now)
}

// Passes makes passes over a member, each at the time given. What is remembered of the member is kept from one to the next.
func Passes(t *testing.T, m *meshv1alpha1.MeshMember, remote client.Client) func(now time.Time) *member.Pass {
	t.Helper()
	first := &member.Pass{Object: m}
	applier := apply.New(remote, remote, apply.Owner{Installation: first.Owner(), Namespace: first.Namespace()})
	state := member.NewState(&fleet.Connection{Client: remote, Config: &rest.Config{}}, applier)
	hub := testutil.HubClient(t, m.DeepCopy())
	return func(now time.Time) *member.Pass {
		pass := &member.Pass{Object: m, Now: now, Hub: hub}
		pass.Attach(state)
		return pass
	}
}
