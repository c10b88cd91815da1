package plan

import (
	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

type (
	meshOption = func(*meshv1alpha1.MeshInstallation)
	values     = map[string]any
)

// shop is an installation with the members east and west.
func shop(options ...meshOption) *meshv1alpha1.MeshInstallation {
	return testutil.Installation(append([]meshOption{testutil.With("east"), testutil.With("west")}, options...)...)
}

func version(v string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = v }
}

func sharedValues(v any) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.ControlPlane.Values = testutil.JSON(v) }
}

func memberValues(i int, v any) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Members[i].Values = testutil.JSON(v) }
}

// running is the state of an installation in which a control plane has served.
func running(v string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Status.EffectiveVersion, inst.Status.Revision = v, mesh.RevisionName(v)
	}
}

// made are the MeshMembers that an installation's first plan makes.
func made(inst *meshv1alpha1.MeshInstallation) []meshv1alpha1.MeshMember {
	p, err := Members(inst, nil, nil)
	if err != nil {
		panic("installation of a test cannot be planned: " + err.Error())
	}
	return p.Desired
}

// serving are MeshMembers whose control planes serve.
func serving(members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	for i := range members {
		r := members[i].Spec.Revisions[0]
		members[i].Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: r.Name, Version: r.Version, ReadyReplicas: 1}}
	}
	return members
}

// down are MeshMembers whose control planes have served and are down now.
func down(members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	for i := range serving(members) {
		members[i].Status.Revisions[0].ReadyReplicas = 0
		members[i].Status.Trust.RootFingerprints = []string{"5e9b"}
	}
	return members
}
