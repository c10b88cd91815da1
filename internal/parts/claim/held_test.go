package claim

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const hubUID = "hub-uid"

// claimOf is the claim of a member.
func claimOf(hub, installation, member string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: testutil.ControlPlane},
		Data:       map[string]string{"hub": hub, "installation": installation, "member": member},
	}
}

func TestRead(t *testing.T) {
	cases := map[string]struct {
		objects []client.Object
		want    bool
		holder  Holder
		wantErr error
	}{
		"nobody has claimed the cluster":           {},
		"this member has":                          {objects: []client.Object{claimOf(hubUID, "meshfleet-system/shop", "east")}, want: true, holder: Own},
		"another member of the mesh has":           {objects: []client.Object{claimOf(hubUID, "meshfleet-system/shop", "west")}, holder: Other, wantErr: errClaimed},
		"another mesh has":                         {objects: []client.Object{claimOf(hubUID, "meshfleet-system/other", "east")}, holder: Other, wantErr: errClaimed},
		"the mesh of that name on another hub has": {objects: []client.Object{claimOf("other-hub", "meshfleet-system/shop", "east")}, holder: Other, wantErr: errClaimed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, pass := &Steps{HubUID: hubUID}, membertest.Pass(t, testutil.Member("east"), c.objects...)
			found, err := s.read(t.Context(), pass)
			if found.isOurs != c.want || !errors.Is(err, c.wantErr) {
				t.Errorf("holds the claim: %v, %v, want %v and %v", found.isOurs, err, c.want, c.wantErr)
			}
			if (found.data != nil) != (len(c.objects) > 0) {
				t.Errorf("the claim that was found says %v", found.data)
			}
			if got, err := s.HeldBy(t.Context(), pass); got != c.holder || err != nil {
				t.Errorf("the cluster is held by %v, %v, want %v without an error", got, err, c.holder)
			}
		})
	}
}

// TestOriginStaysWhenTheHubChanges wants the label of cluster-scoped objects to stay the same, so that nothing is written when another hub
// takes a member over.
func TestOriginStaysWhenTheHubChanges(t *testing.T) {
	taken := claimOf(hubUID, "meshfleet-system/shop", "east")
	taken.Data[originKey] = "former-hub"
	for name, c := range map[string]struct {
		claim      *corev1.ConfigMap
		remembered string
		want       string
	}{
		"the hub that claims it is the first":          {want: hubUID},
		"a claim of a former release":                  {claim: claimOf(hubUID, "meshfleet-system/shop", "east"), want: hubUID},
		"the claim records another one":                {claim: taken, want: "former-hub"},
		"the claim is gone, and it is remembered":      {remembered: "former-hub", want: "former-hub"},
		"what the claim records is what counts":        {claim: taken, remembered: "another", want: "former-hub"},
		"a claim of another member says nothing of it": {claim: claimOf("x", "meshfleet-system/other", "east"), remembered: "former-hub", want: "former-hub"},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []client.Object
			if c.claim != nil {
				objects = append(objects, c.claim)
			}
			s, pass := &Steps{HubUID: hubUID}, membertest.Pass(t, testutil.Member("east"), objects...)
			pass.Object.Status.Origin = c.remembered
			if _, err := s.HeldBy(t.Context(), pass); err != nil || pass.Object.Status.Origin != c.want {
				t.Errorf("origin %q, %v, want %q", pass.Object.Status.Origin, err, c.want)
			}
		})
	}
}

func TestRefusedClaimHasOneMessage(t *testing.T) {
	s, pass := &Steps{HubUID: hubUID}, membertest.Pass(t, testutil.Member("east"), claimOf("a", "b", "c"))
	_, first := s.read(t.Context(), pass)
	for range 20 {
		if _, err := s.read(t.Context(), pass); err.Error() != first.Error() {
			t.Fatalf("now %q, before %q", err, first)
		}
	}
}

// TestRoot says what a claim records of the root, and which members are refused.
func TestRoot(t *testing.T) {
	const ours = "a"
	// cacerts is a signing certificate of our root in the member.
	type cacerts struct{ isOurs bool }
	cases := map[string]struct {
		mine        bool
		claimed     string
		pinned      string
		cacerts     *cacerts
		want        string
		wantClaimed string
		wantErr     error
	}{
		"a new member without a root":                     {wantClaimed: ""},
		"a new member is given the pinned root":           {pinned: ours, want: ours, wantClaimed: ""},
		"what it records is found again":                  {mine: true, claimed: ours, want: ours, wantClaimed: ours},
		"what it records is pinned":                       {mine: true, claimed: ours, pinned: ours, want: ours, wantClaimed: ours},
		"another root is refused":                         {mine: true, claimed: "b", pinned: ours, wantClaimed: "b", wantErr: mesh.ErrForeignRoot},
		"a claim of a former release is completed":        {mine: true, cacerts: &cacerts{isOurs: true}, pinned: ours, want: ours, wantClaimed: ours},
		"by what we made, without a pinned root":          {mine: true, cacerts: &cacerts{isOurs: true}, want: ours, wantClaimed: ours},
		"and not by what others made":                     {mine: true, cacerts: &cacerts{}, wantClaimed: ""},
		"a former release's member of another root":       {mine: true, cacerts: &cacerts{isOurs: true}, pinned: "b", wantClaimed: ours, wantErr: mesh.ErrForeignRoot},
		"what a cluster has before it joins says nothing": {cacerts: &cacerts{}, pinned: "b", want: "b", wantClaimed: ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &Steps{PresentRoot: func(context.Context, *member.Pass) ([]string, bool, error) {
				if c.cacerts == nil {
					return nil, false, nil
				}
				return []string{ours}, c.cacerts.isOurs, nil
			}}
			pass := membertest.Pass(t, testutil.Member("east"))
			if c.pinned != "" {
				pass.Object.Spec.PinnedRoot = []string{c.pinned}
			}
			got, err := s.root(t.Context(), pass, held{data: map[string]string{rootKey: c.claimed}, isOurs: c.mine})
			if got != c.want || !errors.Is(err, c.wantErr) {
				t.Errorf("it records %q, %v, want %q, %v", got, err, c.want, c.wantErr)
			}
			if diff := cmp.Diff(mesh.Claimed(c.wantClaimed), pass.Object.Status.Trust.ClaimedRoot); diff != "" {
				t.Errorf("claimed root (-want +got):\n%s", diff)
			}
		})
	}
}
