package plan

import (
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestMembersGrowWithTheMesh plans the work orders of a large mesh in which nothing changes, and in which everything does.
func TestMembersGrowWithTheMesh(t *testing.T) {
	for name, change := range map[string]func(*meshv1alpha1.MeshInstallation, []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember{
		"nothing changes": func(_ *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
			return members
		},
		"a member joins": func(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
			testutil.With("zz-new")(inst)
			return members
		},
		"all are new": func(*meshv1alpha1.MeshInstallation, []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember { return nil },
		"all leave": func(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
			inst.Spec.Members = inst.Spec.Members[:1]
			return members
		},
	} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckGrowth(t, 5, func(size int) func() {
				inst, members := testutil.Large(size)
				members = change(inst, members)
				return func() {
					if _, err := Members(inst, members, nil); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// TestUnchangedPeersAreShared wants no list of peers to be made again that there is already.
func TestUnchangedPeersAreShared(t *testing.T) {
	inst, members := testutil.Large(3)
	p, err := Members(inst, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Desired {
		if got, have := p.Desired[i].Spec.Peers, members[i].Spec.Peers; len(got) != 2 || &got[0] != &have[0] {
			t.Errorf("%s has peers %v, want the list that there is", p.Desired[i].Name, got)
		}
	}
	inst.Spec.Members = inst.Spec.Members[:2]
	if p, err = Members(inst, members[:2], nil); err != nil {
		t.Fatal(err)
	}
	for i := range p.Desired {
		if got := p.Desired[i].Spec.Peers; len(got) != 1 {
			t.Errorf("%s has peers %v, want one", p.Desired[i].Name, got)
		}
		if len(members[i].Spec.Peers) != 2 {
			t.Errorf("the peers of %s were changed in place", members[i].Name)
		}
	}
}
