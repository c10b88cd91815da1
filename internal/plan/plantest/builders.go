// Package plantest has installations and members for tests of decisions.
package plantest

import (
	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// Revisions of two releases.
var (
	Older = meshv1alpha1.Revision{Name: "1-28-3", Version: "1.28.3"}
	Newer = meshv1alpha1.Revision{Name: "1-29-1", Version: "1.29.1"}
)

// Option changes an installation of a test.
type Option = func(*meshv1alpha1.MeshInstallation)

// Values are values of a chart.
type Values = map[string]any

// Shop is an installation with the members east and west.
func Shop(options ...Option) *meshv1alpha1.MeshInstallation {
	return testutil.Installation(append([]Option{testutil.With("east"), testutil.With("west")}, options...)...)
}

// Version is the version that the spec asks for.
func Version(v string) Option {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = v }
}

// SharedValues are those of all members.
func SharedValues(v any) Option {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.ControlPlane.Values = testutil.JSON(v) }
}

// MemberValues are those of the member at an index.
func MemberValues(i int, v any) Option {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Members[i].Values = testutil.JSON(v) }
}

// Running is the state of an installation in which a control plane has served.
func Running(v string) Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Status.EffectiveVersion, inst.Status.Revision = v, mesh.RevisionName(v)
	}
}

// Made are the MeshMembers that an installation's first plan makes.
func Made(inst *meshv1alpha1.MeshInstallation) []meshv1alpha1.MeshMember {
	p, err := plan.Members(inst, nil, nil)
	if err != nil {
		panic("installation of a test cannot be planned: " + err.Error())
	}
	return p.Desired
}

// Serving are MeshMembers whose control planes serve.
func Serving(members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	for i := range members {
		r := members[i].Spec.Revisions[0]
		members[i].Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: r.Name, Version: r.Version, ReadyReplicas: 1}}
	}
	return members
}

// Down are MeshMembers whose control planes have served and are down now.
func Down(members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	for i := range Serving(members) {
		members[i].Status.Revisions[0].ReadyReplicas = 0
		members[i].Status.Trust.RootFingerprints = []string{"5e9b"}
	}
	return members
}

// Attempt is how often a person has asked for the target.
func Attempt(n int32) Option {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.Attempt = n }
}

// Tags are those of the spec.
func Tags(names ...string) Option {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.DataPlane.Tags = testutil.Tags(names...) }
}

// RawValues are those of all members, as the API server stores them.
func RawValues(text string) Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.ControlPlane.Values = testutil.JSON(nil)
		inst.Spec.ControlPlane.Values.Raw = []byte(text)
	}
}
