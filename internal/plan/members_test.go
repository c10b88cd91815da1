package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestAMemberThatLeavesIsRemovedOnce(t *testing.T) {
	existing := plantest.Serving(plantest.Made(plantest.Shop()))
	inst := testutil.Installation(testutil.With("east"))
	inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyForce
	p, err := plan.Members(inst, existing, nil)
	if diff := cmp.Diff([]string{"shop-west"}, p.Remove); err != nil || diff != "" {
		t.Errorf("removed, %v (-want +got):\n%s", err, diff)
	}
	for i := range existing {
		existing[i].DeletionTimestamp = &metav1.Time{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	}
	p, err = plan.Members(inst, existing, nil)
	if err != nil || len(p.Remove) > 0 {
		t.Errorf("removed are %v, %v, want none: all that left are being deleted", p.Remove, err)
	}
}

func TestMembers(t *testing.T) {
	cases := map[string]struct {
		inst     *meshv1alpha1.MeshInstallation
		existing []meshv1alpha1.MeshMember
		run      *plan.Run
	}{
		"a small spec gets every default": {inst: plantest.Shop()},
		"everything that the spec says is in the work order": {inst: testutil.Installation(full,
			testutil.With("east", east), testutil.With("hub", hub))},
		"a member's own values win over the shared ones": {inst: plantest.Shop(
			plantest.SharedValues(plantest.Values{"autoscaleMin": 1, "resources": plantest.Values{"requests": plantest.Values{"cpu": "100m", "memory": "1Gi"}}}),
			plantest.MemberValues(1, plantest.Values{"autoscaleMin": 3, "resources": plantest.Values{"requests": plantest.Values{"cpu": "2"}}}))},
		"tags and peers are sorted whatever the order of the spec": {inst: testutil.Installation(
			testutil.With("west"), testutil.With("north"), testutil.With("east"), plantest.Tags("prod", "canary"))},
		"a member that left the spec is removed": {
			inst: testutil.Installation(testutil.With("east")), existing: plantest.Serving(plantest.Made(plantest.Shop()))},
		"a new member joins at the version that runs": {
			inst: plantest.Shop(testutil.With("north"), plantest.Running("1.28.3"), plantest.Version("1.29.1")), existing: plantest.Serving(plantest.Made(plantest.Shop(plantest.Version("1.28.3"))))},
		"another version leaves a control plane that serves as it is": {
			inst: plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1")), existing: plantest.Serving(plantest.Made(plantest.Shop(plantest.Version("1.28.3"))))},
		"other values leave a control plane that serves as it is": {
			inst:     plantest.Shop(plantest.Running("1.29.1"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})),
			existing: plantest.Serving(plantest.Made(plantest.Shop(plantest.MemberValues(0, plantest.Values{"autoscaleMin": 1}))))},
		"another version and other values leave a control plane that has served as it is": {
			inst:     plantest.Shop(plantest.Running("1.29.1"), plantest.Version("1.28.3"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})),
			existing: plantest.Down(plantest.Made(plantest.Shop()))},
		"values that only the API server has reordered are no change": {
			inst:     plantest.Shop(plantest.Running("1.29.1"), plantest.RawValues(`{"a": 1, "b": {"c": 2, "d": 3}}`)),
			existing: plantest.Serving(plantest.Made(plantest.Shop(plantest.RawValues(`{"b":{"d":3,"c":2},"a":1}`))))},
		"version and values are corrected in place before the control plane has served": {
			inst:     plantest.Shop(plantest.Version("1.29.1"), plantest.SharedValues(plantest.Values{"pilot": plantest.Values{"cpu": "right"}})),
			existing: plantest.Made(plantest.Shop(plantest.Version("1.28.3"), plantest.SharedValues(plantest.Values{"pilot": plantest.Values{"cpu": "wrong"}})))},
		"peers and replicas of a member that serves follow the spec": {
			inst:     testutil.Installation(plantest.Running("1.29.1"), testutil.With("east"), testutil.With("north"), full, plantest.Version("1.29.1"), plantest.SharedValues(plantest.Values{})),
			existing: plantest.Serving(plantest.Made(testutil.Installation(testutil.With("east"), testutil.With("west"))))},
		"an upgrade runs the new revision beside the old one where it is ordered": {
			inst:     plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"), plantest.Tags("prod"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})),
			existing: plantest.Serving(plantest.Made(plantest.Shop(plantest.Version("1.28.3"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 1})))),
			run:      upgrading("east", meshv1alpha1.StageGateways)},
		"an upgrade goes on with the revision that it began with": {
			inst:     plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 5})),
			existing: begun(plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})), meshv1alpha1.StageInstall),
			run:      upgrading("east", meshv1alpha1.StageWorkloads)},
		"an upgrade that goes back brings a revision again that was retired": {
			inst:     plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})),
			existing: begun(plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})), meshv1alpha1.StageRetire),
			run:      upgrading("east", meshv1alpha1.StageRollback)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := plan.Members(c.inst, c.existing, asIn(c.inst, c.run))
			if err != nil {
				t.Fatal(err)
			}
			testutil.Golden(t, describe(t, p))
		})
	}
}

// TestTheCauseOfARollbackIsInTheWorkOrder wants that of the upgrade, unless the member itself has failed.
func TestTheCauseOfARollbackIsInTheWorkOrder(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.29.1"))
	for name, c := range map[string]struct {
		stage  meshv1alpha1.Stage
		failed []string
		want   meshv1alpha1.UpgradeCause
	}{
		"rolled back":            {stage: meshv1alpha1.StageRollback, want: meshv1alpha1.CauseAborted},
		"discarded":              {stage: meshv1alpha1.StageDiscard, want: meshv1alpha1.CauseAborted},
		"failed before that":     {stage: meshv1alpha1.StageRollback, failed: []string{"east"}, want: meshv1alpha1.CauseFailed},
		"another has failed":     {stage: meshv1alpha1.StageRollback, failed: []string{"west"}, want: meshv1alpha1.CauseAborted},
		"not rolled back at all": {stage: meshv1alpha1.StageSoak, failed: []string{"west"}},
	} {
		t.Run(name, func(t *testing.T) {
			run := upgrading("east", c.stage)
			run.Upgrade.Status.Cause, run.Upgrade.Status.Failed = meshv1alpha1.CauseAborted, c.failed
			p, err := plan.Members(inst, begun(inst, meshv1alpha1.StageSoak), run)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Desired[0].Spec.Rollout; got == nil || got.Cause != c.want {
				t.Errorf("rollout %+v, want cause %q", got, c.want)
			}
		})
	}
}

func TestMembersRefusesValuesThatAreNoMap(t *testing.T) {
	for name, option := range map[string]plantest.Option{
		"shared": plantest.SharedValues([]string{"a list"}), "of a member": plantest.MemberValues(1, "a text"),
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := plan.Members(plantest.Shop(option), nil, nil); err == nil {
				t.Errorf("plan is %+v, want an error", p)
			}
		})
	}
}

// describe writes a plan down for people.
func describe(t *testing.T, p plan.MembersPlan) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "new members join at revision %s of Istio %s\n", p.Revision, p.Version)
	for _, name := range p.Remove {
		fmt.Fprintf(&out, "remove %s\n", name)
	}
	for _, m := range p.Leaving {
		fmt.Fprintf(&out, "%s leaves, removal %s, deletion policy %s, peers %v\n", m.Name, m.Spec.Removal, m.Spec.DeletionPolicy, m.Spec.Peers)
	}
	for _, m := range p.Desired {
		text, err := yaml.Marshal(map[string]any{"labels": m.Labels, "spec": m.Spec})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "\n%s/%s\n%s", m.Namespace, m.Name, text)
	}
	return out.String()
}

// upgrading is an upgrade to 1.29.1 that orders one member a stage.
func upgrading(member string, stage meshv1alpha1.Stage) *plan.Run {
	u := &meshv1alpha1.MeshUpgrade{Spec: meshv1alpha1.MeshUpgradeSpec{
		To:    meshv1alpha1.RevisionTarget{Revision: plantest.Newer.Name, Version: plantest.Newer.Version},
		Gates: []meshv1alpha1.Gate{{Name: "ConfigValid", DryRun: true}},
	}}
	u.Name = "shop-1"
	return &plan.Run{Upgrade: u, Orders: map[string]meshv1alpha1.Stage{member: stage}}
}

// asIn is an upgrade, which may be nil, with what an installation wants.
func asIn(inst *meshv1alpha1.MeshInstallation, run *plan.Run) *plan.Run {
	if run != nil {
		run.Wanted = upgrade.Next(inst, nil, nil).Wanted
	}
	return run
}

// begun are the MeshMembers of an installation that ran 1.28.3 with other values of east, where an upgrade has got to a
// stage of east.
func begun(inst *meshv1alpha1.MeshInstallation, stage meshv1alpha1.Stage) []meshv1alpha1.MeshMember {
	members := plantest.Serving(plantest.Made(plantest.Shop(plantest.Version("1.28.3"), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 1}))))
	for _, s := range []meshv1alpha1.Stage{meshv1alpha1.StageInstall, stage} {
		p, err := plan.Members(inst, members, asIn(inst, upgrading("east", s)))
		if err != nil {
			panic("upgrade of a test cannot be planned: " + err.Error())
		}
		for i := range members {
			members[i].Spec = p.Desired[i].Spec
		}
	}
	return members
}

// full sets what a mesh can set besides its members.
func full(inst *meshv1alpha1.MeshInstallation) {
	inst.Spec.MeshID, inst.Spec.TrustDomain, inst.Spec.ControlPlaneNamespace = "retail", "shop.example", "mesh"
	inst.Spec.Version = "1.28.3"
	inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyOrphan
	inst.Spec.DataPlane.Tags = testutil.Tags("prod")
	inst.Spec.ControlPlane.Values = testutil.JSON(plantest.Values{"autoscaleMin": 2})
	inst.Spec.EastWestGateway = meshv1alpha1.EastWestGateway{
		Replicas: meshv1alpha1.ReplicaRange{Min: 2, Max: 7},
		Service:  meshv1alpha1.GatewayService{Annotations: map[string]string{"cloud.example/internal": "true"}},
		Values:   testutil.JSON(plantest.Values{"nodeSelector": plantest.Values{"pool": "edge"}}),
	}
}

func east(m *meshv1alpha1.Member) {
	m.Network, m.APIServer = "backbone", "https://203.0.113.7:6443"
	m.Labels = map[string]string{"tier": "canary"}
}

func hub(m *meshv1alpha1.Member) {
	m.Network, m.APIServer = "backbone", "https://203.0.113.8:6443"
	m.ClusterRef = meshv1alpha1.ClusterRef{Local: &meshv1alpha1.LocalCluster{}}
}
