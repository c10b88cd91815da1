package mesh

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestWithoutTarget(t *testing.T) {
	for stage, want := range map[meshv1alpha1.Stage]int{meshv1alpha1.StageInstall: 2, meshv1alpha1.StageRollback: 1, meshv1alpha1.StageSoak: 2} {
		m := &meshv1alpha1.MeshMember{Spec: meshv1alpha1.MeshMemberSpec{
			Revisions: []meshv1alpha1.Revision{{Name: "a"}, {Name: "b"}},
			Rollout:   &meshv1alpha1.MemberRollout{Upgrade: "u", From: meshv1alpha1.Revision{Name: "a"}, To: meshv1alpha1.Revision{Name: "b"}, Stage: stage},
		}}
		if got := WithoutTarget(m).Revisions; len(got) != want || got[0].Name != "a" || len(m.Spec.Revisions) != 2 {
			t.Errorf("%s: %v", stage, got)
		}
	}
}

func TestRevisionsAsked(t *testing.T) {
	tests := map[meshv1alpha1.Stage]map[string]bool{
		meshv1alpha1.StageInstall:   {"new": true},
		meshv1alpha1.StageWorkloads: {"new": true, "old": true},
		meshv1alpha1.StageSoak:      {"new": true, "old": true},
		meshv1alpha1.StageRetire:    {"new": true},
	}
	for stage, want := range tests {
		spec := meshv1alpha1.MeshMemberSpec{DefaultRevision: "new", GatewayRevision: "new",
			Rollout: &meshv1alpha1.MemberRollout{From: meshv1alpha1.Revision{Name: "old"}, To: meshv1alpha1.Revision{Name: "new"}, Stage: stage}}
		if diff := cmp.Diff(want, RevisionsAsked(&spec)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stage, diff)
		}
	}
}
