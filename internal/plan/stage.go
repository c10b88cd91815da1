package plan

import meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"

// Content fills in which control planes the member runs at a stage, and what its tags and its gateway follow. Whatever
// is followed is always among the revisions. A gateway that is replaced in place follows like one of each revision: only
// what it is called differs, see GatewayKey. A member that has retired the old revision gets it again by Rollback.
func Content(spec *meshv1alpha1.MeshMemberSpec, from, to meshv1alpha1.Revision, stage meshv1alpha1.Stage) {
	revisions := []meshv1alpha1.Revision{from, to}
	tags, gateway := from.Name, from.Name
	switch stage {
	case meshv1alpha1.StageInstall, meshv1alpha1.StageRollback:
	case meshv1alpha1.StageGateways:
		gateway = to.Name
	case meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak:
		tags, gateway = to.Name, to.Name
	case meshv1alpha1.StageRetire:
		revisions, tags, gateway = []meshv1alpha1.Revision{to}, to.Name, to.Name
	case meshv1alpha1.StagePreflight, meshv1alpha1.StageDiscard:
		revisions = []meshv1alpha1.Revision{from}
	}
	spec.Revisions = make([]meshv1alpha1.Revision, len(revisions))
	for i := range revisions {
		revisions[i].DeepCopyInto(&spec.Revisions[i])
	}
	spec.DefaultRevision, spec.GatewayRevision = tags, gateway
	for i := range spec.Tags {
		spec.Tags[i].Revision = tags
	}
}
