package plan

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Removal is what is to be ordered of a member that is no longer in the spec. A removal that has begun goes on.
func Removal(m *meshv1alpha1.MeshMember, policy meshv1alpha1.DeletionPolicy) meshv1alpha1.MemberRemoval {
	counted := m.Status.Removal != nil && m.Status.ObservedGeneration == m.Generation
	isReached := meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable)
	switch {
	case m.Spec.Removal == meshv1alpha1.RemovalNow,
		policy == meshv1alpha1.DeletionPolicyForce,
		// Nothing was ever written there.
		m.Status.ClusterUID == "" && !isReached,
		policy == meshv1alpha1.DeletionPolicyOrphan && !isReached,
		counted && isReached && m.Status.Removal.Proxies == 0:
		return meshv1alpha1.RemovalNow
	}
	return meshv1alpha1.RemovalWhenUnused
}

// named are the members that the mesh is to have: none when it is being deleted.
func named(inst *meshv1alpha1.MeshInstallation) []*meshv1alpha1.Member {
	if !inst.DeletionTimestamp.IsZero() {
		return nil
	}
	out := make([]*meshv1alpha1.Member, 0, len(inst.Spec.Members))
	for i := range inst.Spec.Members {
		out = append(out, &inst.Spec.Members[i])
	}
	return out
}

// leave plans the members that are no longer in the spec. One that waits for its workloads keeps its work order, but follows
// the mesh in what its peers need of it. Newest is the newest release that may read it.
func (p *MembersPlan) leave(inst *meshv1alpha1.MeshInstallation, existing []meshv1alpha1.MeshMember, newest reads) {
	wanted := map[string]bool{}
	for _, m := range named(inst) {
		wanted[mesh.MemberName(inst.Name, m.Name)] = true
	}
	for i := range existing {
		if wanted[existing[i].Name] {
			continue
		}
		// Only whole fields are set: what they point to is shared.
		m := existing[i]
		m.Spec.DeletionPolicy = mesh.DeletionPolicyOf(&m, inst.Spec.DeletionPolicy)
		m.Spec.Removal = Removal(&m, m.Spec.DeletionPolicy)
		newest.noteIn(&m.Spec)
		p.Leaving = append(p.Leaving, m)
		if m.Spec.Removal == meshv1alpha1.RemovalNow && m.DeletionTimestamp.IsZero() {
			p.Remove = append(p.Remove, m.Name)
		}
	}
	slices.Sort(p.Remove)
	slices.SortFunc(p.Leaving, func(a, b meshv1alpha1.MeshMember) int { return cmp.Compare(a.Name, b.Name) })
	peers := p.peers(inst)
	for i := range p.Leaving {
		if m := &p.Leaving[i]; m.Spec.Removal == meshv1alpha1.RemovalWhenUnused {
			m.Spec.Peers, m.Spec.PinnedRoot = without(peers, m.Spec.Cluster, m.Spec.Peers), inst.Status.Trust.PinnedRoot
		}
	}
}

// peers are all members that serve or are to serve, by name: those of the spec, and those that wait for their workloads
// before they leave.
func (p *MembersPlan) peers(inst *meshv1alpha1.MeshInstallation) []meshv1alpha1.Peer {
	var out []meshv1alpha1.Peer
	add := func(name string) {
		out = append(out, meshv1alpha1.Peer{Name: name, ReaderSecret: mesh.ReaderSecretName(inst.Name, name)})
	}
	for _, m := range named(inst) {
		add(m.Name)
	}
	for i := range p.Leaving {
		if p.Leaving[i].Spec.Removal == meshv1alpha1.RemovalWhenUnused {
			add(p.Leaving[i].Spec.Cluster)
		}
	}
	slices.SortFunc(out, func(a, b meshv1alpha1.Peer) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// without is the list, sorted by name, without one of them. Nil: none is left. It is the list that there is if that has the same
// peers: lists of all members for all members are what costs most of a plan.
func without(peers []meshv1alpha1.Peer, name string, have []meshv1alpha1.Peer) []meshv1alpha1.Peer {
	at, isThere := slices.BinarySearchFunc(peers, name, func(p meshv1alpha1.Peer, name string) int { return cmp.Compare(p.Name, name) })
	after := at
	if isThere {
		after++
	}
	before, rest := peers[:at], peers[after:]
	switch {
	case len(before)+len(rest) == 0:
		return nil
	case len(have) == len(before)+len(rest) && slices.Equal(have[:at], before) && slices.Equal(have[at:], rest):
		return have
	}
	return slices.Concat(before, rest)
}

// peersOf are the peers in the work order that there is, if there is one.
func peersOf(m *meshv1alpha1.MeshMember) []meshv1alpha1.Peer {
	if m == nil {
		return nil
	}
	return m.Spec.Peers
}

// Recovered are the members, each with the order that its cluster has a record of if its MeshMember was lost and is new.
func Recovered(members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	out := slices.Clone(members)
	for i := range out {
		r := out[i].Status.Recovered
		if r == nil || equality.Semantic.DeepEqual(r, InForce(&out[i].Spec)) {
			continue
		}
		m := out[i].DeepCopy()
		m.Spec.Revisions, m.Spec.DefaultRevision, m.Spec.Tags = r.Revisions, r.DefaultRevision, r.Tags
		m.Spec.GatewayRevision, m.Spec.Rollout = r.GatewayRevision, r.Rollout
		m.Spec.ReaderTokens, m.Spec.IstiodRestart = cmp.Or(r.ReaderTokens, m.Spec.ReaderTokens), r.IstiodRestart
		out[i] = *m
	}
	return out
}

// InForce is the part of a work order that says what runs. A preflight changes nothing of it.
func InForce(spec *meshv1alpha1.MeshMemberSpec) *meshv1alpha1.OrderInForce {
	out := &meshv1alpha1.OrderInForce{
		Revisions: spec.Revisions, DefaultRevision: spec.DefaultRevision, Tags: spec.Tags, GatewayRevision: spec.GatewayRevision,
		ReaderTokens: spec.ReaderTokens, IstiodRestart: spec.IstiodRestart,
	}
	if r := spec.Rollout; r != nil && r.Stage != meshv1alpha1.StagePreflight {
		out.Rollout = r
	}
	return out
}

// IsKept says that a work order leaves what runs as it is: the revision that namespaces get stays, and none is changed in
// place.
func IsKept(running *meshv1alpha1.OrderInForce, spec *meshv1alpha1.MeshMemberSpec) bool {
	isStaying := false
	for _, r := range running.Revisions {
		i := slices.IndexFunc(spec.Revisions, func(o meshv1alpha1.Revision) bool { return o.Name == r.Name })
		if i >= 0 && mesh.Difference(r, spec.Revisions[i]) != "" {
			return false
		}
		isStaying = isStaying || i >= 0 && r.Name == running.DefaultRevision
	}
	return isStaying
}

// IsHeld says that the record of an upgrade must stay, also when somebody deletes it: members are on their way, and only
// the record knows where to. A plan that never ran may go.
func IsHeld(u *meshv1alpha1.MeshUpgrade) bool {
	return !u.Status.Phase.IsFinished() && (u.Status.StartedAt != nil || u.DeletionTimestamp.IsZero())
}

// lostFor is how long an upgrade waits for a MeshMember that was lost: its cluster has a record of what it runs.
const lostFor = 2 * time.Minute

// Lost are the members of an upgrade under way, or of one that has no status yet, whose MeshMember is missing although the spec names
// them, or is new and has not found out yet what its cluster runs. Without it nothing can be decided: it looks as if they had left.
func Lost(u *meshv1alpha1.MeshUpgrade, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, now time.Time) []string {
	if isBlank(*u) && now.Sub(u.CreationTimestamp.Time) < lostFor {
		return withoutAnswer(namedIn(u, inst), members)
	}
	if u.Status.StartedAt == nil {
		return nil
	}
	present := map[string]*meshv1alpha1.MeshMember{}
	for i := range members {
		present[members[i].Spec.Cluster] = &members[i]
	}
	var out []string
	for _, name := range namedIn(u, inst) {
		m := present[name]
		isNew := m != nil && !mesh.HasServed(m) && m.CreationTimestamp.After(u.Status.StartedAt.Time) && now.Sub(m.CreationTimestamp.Time) < lostFor
		if m == nil || isNew {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// namedIn are the members of an upgrade that the spec names.
func namedIn(u *meshv1alpha1.MeshUpgrade, inst *meshv1alpha1.MeshInstallation) []string {
	isNamed := map[string]bool{}
	for _, m := range named(inst) {
		isNamed[m.Name] = true
	}
	var out []string
	for i := range u.Spec.Waves {
		for _, name := range u.Spec.Waves[i].Members {
			if isNamed[name] {
				out = append(out, name)
			}
		}
	}
	return out
}
