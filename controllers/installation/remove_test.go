package installation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestTheMessageOfAMemberInUseIsBounded(t *testing.T) {
	m := testutil.Member("west", testutil.Departing(meshv1alpha1.RemovalWhenUnused))
	m.Status.Removal = &meshv1alpha1.MemberRemovalStatus{Proxies: 12, Sample: []string{"demo/a", "demo/b", "demo/c", "demo/d", "demo/e"}}
	want := "12 pods with a proxy of this mesh run in member west: demo/a, demo/b, demo/c, demo/d, demo/e and 7 more; " +
		"remove them or restart them without a sidecar, or set spec.deletionPolicy of the MeshInstallation to Force"
	if diff := cmp.Diff(want, mesh.KeptBy(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	gone := testutil.Member("north", testutil.Departing(meshv1alpha1.RemovalNow), testutil.Conditions("Ready=Unknown Deleting"))
	o, ok := leavingMembers(testutil.Members(testutil.Member("east", testutil.Ready()), m, gone))
	if !ok || o.Result.Reason != meshv1alpha1.ReasonWaitingForWorkloads ||
		!strings.HasPrefix(o.Result.Message, "1 members wait before they leave (west): "+want) || !strings.HasSuffix(o.Result.Message, "; removing north; north: so it is") {
		t.Errorf("of the installation: %v %+v", ok, o.Result)
	}
}
