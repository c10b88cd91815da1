package upgrade

import (
	"cmp"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Running counts the members that have served by the revision that their namespaces get, oldest version first.
func Running(members []meshv1alpha1.MeshMember) []meshv1alpha1.RevisionMembers {
	var out []meshv1alpha1.RevisionMembers
	for i := range members {
		if !mesh.HasServed(&members[i]) || mesh.IsLeaving(&members[i]) {
			continue
		}
		running := mesh.RunningRevision(&members[i])
		at := slices.IndexFunc(out, func(r meshv1alpha1.RevisionMembers) bool {
			return r.Name == running.Name && r.Version == running.Version
		})
		if at < 0 {
			at = len(out)
			out = append(out, meshv1alpha1.RevisionMembers{Name: running.Name, Version: running.Version})
		}
		out[at].Members++
	}
	slices.SortFunc(out, func(a, b meshv1alpha1.RevisionMembers) int {
		return cmp.Or(istioversion.Compare(a.Version, b.Version), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// EffectiveShared is what members share of what the mesh runs, as a member without settings of its own shows it. While nobody
// shows it, it is that of the spec, without a name. A member that is held may run something older of the same version: only the name
// of the mesh's revision tells that it does not.
func EffectiveShared(inst *meshv1alpha1.MeshInstallation, existing []meshv1alpha1.MeshMember) meshv1alpha1.Revision {
	hasNone, holds := map[string]bool{}, HoldsOf(inst)
	for i := range inst.Spec.Members {
		s := &inst.Spec.Members[i]
		hasNone[s.Name] = (s.Values == nil || len(s.Values.Raw) == 0) && s.EastWestGateway == nil
	}
	shown := -1
	for i := range existing {
		m := &existing[i]
		running := mesh.RunningRevision(m)
		if !hasNone[m.Spec.Cluster] || !mesh.HasServed(m) || running.Version != inst.Status.EffectiveVersion {
			continue
		}
		if running.Name == inst.Status.Revision {
			return running
		}
		if shown < 0 && !holds.Has(m.Spec.Cluster) {
			shown = i
		}
	}
	if shown >= 0 {
		// It ran the target already, under the name that it had got before.
		return mesh.RunningRevision(&existing[shown])
	}
	return sharedBy(inst)
}
