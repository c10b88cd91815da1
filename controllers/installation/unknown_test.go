package installation

import (
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestReleasesThatAreNotKnownAreNamed names them, their members and the cure in one condition.
func TestReleasesThatAreNotKnownAreNamed(t *testing.T) {
	at := func(version string) func(*meshv1alpha1.MeshMember) {
		return func(m *meshv1alpha1.MeshMember) { m.Spec.Revisions[0].Version = version }
	}
	members := []meshv1alpha1.MeshMember{
		*testutil.Member("east", at("1.27.9")), *testutil.Member("west"), *testutil.Member("north", at("1.27.9")),
	}
	want := "; this operator has no charts of Istio 1.27.9 of east, north and keeps it as it was installed: set spec.version to one of 1.28.3, 1.29.1, 1.30.4, 1.31.0"
	if got := unknownIn(members, meshv1alpha1.ConditionControlPlanesReady); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, got := range []string{unknownIn(members, meshv1alpha1.ConditionGatewaysReady), unknownIn(members[1:2], meshv1alpha1.ConditionControlPlanesReady)} {
		if got != "" {
			t.Errorf("%q, want nothing", got)
		}
	}
}
