package plan_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// running gives a member a number of pods with a proxy.
func running(n int32) testutil.MemberOption {
	return func(m *meshv1alpha1.MeshMember) { m.Status.Proxies = &n }
}

func TestIsProtected(t *testing.T) {
	protection := func(p meshv1alpha1.DeletionProtection) func(*meshv1alpha1.MeshInstallation) {
		return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.DeletionProtection = p }
	}
	going := func(inst *meshv1alpha1.MeshInstallation) { inst.DeletionTimestamp = &metav1.Time{Time: testutil.Now} }
	for name, c := range map[string]struct {
		inst *meshv1alpha1.MeshInstallation
		want bool
	}{
		"by default":                              {testutil.Installation(), true},
		"as the API server stores it":             {testutil.Installation(protection(meshv1alpha1.DeletionProtectionEnabled)), true},
		"by a value of a later release":           {testutil.Installation(protection("Always")), true},
		"not when the spec disables it":           {testutil.Installation(protection(meshv1alpha1.DeletionProtectionDisabled)), false},
		"not when its deletion has begun already": {testutil.Installation(going), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plan.IsProtected(c.inst); got != c.want {
				t.Errorf("protected: %v, want %v", got, c.want)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	const unknown = "unknown whether pods with a proxy of this mesh run in "
	restoring := func(m *meshv1alpha1.MeshMember) {
		m.Annotations = map[string]string{meshv1alpha1.AnnotationRestoring: "true"}
	}
	east := testutil.Member("east", answering(true), running(0))
	for name, c := range map[string]struct {
		members []meshv1alpha1.MeshMember
		want    string
	}{
		"no pod runs anywhere": {testutil.Members(east, testutil.Member("west", answering(true), running(0))), ""},
		"pods run in one member": {
			testutil.Members(east, testutil.Member("west", answering(true), running(3))),
			"3 pods with a proxy of this mesh run in 1 members (west: 3)",
		},
		"pods run in both": {
			testutil.Members(testutil.Member("east", answering(true), running(40)), testutil.Member("west", answering(true), running(3))),
			"43 pods with a proxy of this mesh run in 2 members (east: 40, west: 3)",
		},
		"a member that is new": {testutil.Members(east, testutil.Member("west")), unknown + "1 members (west: not asked yet)"},
		"a member without a MeshMember, as after a restore": {
			testutil.Members(east), unknown + "1 members (west: not asked yet)",
		},
		"a mesh of which nothing is known": {nil, unknown + "2 members (east: not asked yet, west: not asked yet)"},
		"a MeshMember that is made again": {
			testutil.Members(east, testutil.Member("west", answering(true), running(0), restoring)), unknown + "1 members (west: not asked yet)",
		},
		"a member that was never reached":          {testutil.Members(east, testutil.Member("west", answering(false))), unknown + "1 members (west: does not answer)"},
		"a member whose pods are not counted":      {testutil.Members(east, testutil.Member("west", answering(true))), unknown + "1 members (west: not counted)"},
		"a member that had none when last counted": {testutil.Members(east, testutil.Member("west", answering(false), running(0))), unknown + "1 members (west: does not answer, 0 when last counted)"},
		"pods in one, and nothing of another": {
			testutil.Members(testutil.Member("east", answering(true), running(2)), testutil.Member("west", answering(false), running(7))),
			"2 pods with a proxy of this mesh run in 1 members (east: 2); " + unknown + "1 members (west: does not answer, 7 when last counted)",
		},
		"a member that waits for its pods before it leaves": {
			testutil.Members(east, testutil.Member("west", answering(true), running(0)),
				testutil.Member("north", answering(true), running(1), testutil.Departing(meshv1alpha1.RemovalWhenUnused))),
			"1 pods with a proxy of this mesh run in 1 members (north: 1)",
		},
		"a member that is being removed": {
			testutil.Members(east, testutil.Member("west", answering(true), running(0)),
				testutil.Member("north", answering(true), running(1), testutil.Departing(meshv1alpha1.RemovalNow))),
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
			if got := plan.InUse(inst, c.members); got != c.want {
				t.Errorf("in use: %q\nwant    %q", got, c.want)
			}
		})
	}
}

// TestInUseNamesSomeOfManyMembers bounds the message in a mesh of a thousand members.
func TestInUseNamesSomeOfManyMembers(t *testing.T) {
	inst := testutil.Installation()
	var members []meshv1alpha1.MeshMember
	for i := range 1000 {
		name := fmt.Sprintf("m%03d", i)
		testutil.With(name)(inst)
		if i%2 == 0 {
			members = append(members, *testutil.Member(name, answering(true), running(2)))
		}
	}
	want := "1000 pods with a proxy of this mesh run in 500 members (m000: 2, m002: 2, m004: 2, m006: 2, m008: 2 and 495 more); " +
		"unknown whether pods with a proxy of this mesh run in 500 members (m001: not asked yet, m003: not asked yet, m005: not asked yet, " +
		"m007: not asked yet, m009: not asked yet and 495 more)"
	if got := plan.InUse(inst, members); got != want {
		t.Errorf("in use: %q\nwant    %q", got, want)
	}
}
