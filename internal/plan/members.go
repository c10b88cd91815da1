package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

// MembersPlan says which MeshMembers there must be.
type MembersPlan struct {
	// Desired are the MeshMembers with their labels and complete specs, by name. Their resource versions are those of the MeshMembers
	// that they were planned from. Empty: there was none.
	Desired []meshv1alpha1.MeshMember
	// Leaving are the MeshMembers of members that left, with what their work orders must be until they are gone.
	Leaving []meshv1alpha1.MeshMember
	// Remove are the names of those of them that are to be taken out now and are not being deleted yet.
	Remove []string
	// Revision and Version are what new members join at.
	Revision, Version string

	charts meshv1alpha1.ChartDigests
}

// Run is an upgrade under way, as far as work orders need it.
type Run struct {
	// Upgrade is the record. Nil: there is none, see Missing.
	Upgrade *meshv1alpha1.MeshUpgrade
	// Missing are the names of records that are gone. Each member then goes by the upgrade of its own work order.
	Missing []string
	// Orders are the stages by member. A member without one stays as it is.
	Orders map[string]meshv1alpha1.Stage
	// Wanted is what the spec asks for, by member.
	Wanted upgrade.Wanted
	// Now is the time at which what is new in them was ordered.
	Now time.Time
	// IsPlanOnly says that nothing may change in any member, not even what peers may read there.
	IsPlanOnly bool
}

// Members plans the MeshMembers of an installation from its spec, the MeshMembers that exist and the upgrade under way,
// if there is one.
func Members(inst *meshv1alpha1.MeshInstallation, existing []meshv1alpha1.MeshMember, run *Run) (MembersPlan, error) {
	// A mesh that serves keeps its version; members that join later join at that one.
	p := MembersPlan{Revision: inst.Status.Revision, Version: inst.Status.EffectiveVersion}
	if p.Revision == "" {
		first, err := upgrade.FirstRevision(inst)
		if err != nil {
			return MembersPlan{}, err
		}
		p.Revision, p.Version = first, inst.Spec.Version
	}
	p.charts = chartsAt(inst, existing, p.Version)
	present := map[string]*meshv1alpha1.MeshMember{}
	for i := range existing {
		present[existing[i].Name] = &existing[i]
	}
	shared := upgrade.EffectiveShared(inst, existing)
	newest := newestVersion(existing, run)
	p.leave(inst, existing, newest)
	peers := p.peers(inst)
	p.Desired = make([]meshv1alpha1.MeshMember, 0, len(inst.Spec.Members))
	for _, m := range named(inst) {
		have := present[mesh.MemberName(inst.Name, m.Name)]
		desired, err := p.member(inst, m, have, run, shared)
		if err != nil {
			return MembersPlan{}, fmt.Errorf("member %q: %w", m.Name, err)
		}
		newest.noteIn(&desired.Spec)
		desired.Spec.Peers = without(peers, m.Name, peersOf(have))
		p.Desired = append(p.Desired, desired)
	}
	slices.SortFunc(p.Desired, func(a, b meshv1alpha1.MeshMember) int { return cmp.Compare(a.Name, b.Name) })
	return p, nil
}

// member plans one member. Shared is what all members share of what runs, at which one joins.
func (p *MembersPlan) member(
	inst *meshv1alpha1.MeshInstallation, m *meshv1alpha1.Member, present *meshv1alpha1.MeshMember, run *Run, shared meshv1alpha1.Revision,
) (meshv1alpha1.MeshMember, error) {
	var want meshv1alpha1.Revision
	readerTokens, restart := meshv1alpha1.ReaderTokensFile, (*meshv1alpha1.IstiodRestart)(nil)
	if present != nil && mesh.HasServed(present) {
		// A control plane that serves is never changed in place: an upgrade runs a new one beside it.
		want = mesh.RunningRevision(present)
		readerTokens, restart = present.Spec.ReaderTokens, present.Spec.IstiodRestart.DeepCopy()
	} else {
		var err error
		if want, err = mesh.MemberRevision(shared, m); err != nil {
			return meshv1alpha1.MeshMember{}, err
		}
		want.Version, want.Charts = p.Version, p.charts
		want.Rendering = upgrade.RenderingOf(want)
		want.Name = p.nameOf(want, shared, inst.Status.Revision != "")
	}
	out := meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{
		Name: mesh.MemberName(inst.Name, m.Name), Namespace: inst.Namespace, Labels: map[string]string{},
	}}
	if present != nil {
		out.ResourceVersion = present.ResourceVersion
	}
	for k, v := range m.Labels {
		out.Labels[k] = v
	}
	out.Labels[meshv1alpha1.LabelInstallation] = inst.Name
	out.Labels[meshv1alpha1.LabelMember] = m.Name
	out.Spec = meshv1alpha1.MeshMemberSpec{
		Installation:          inst.Name,
		Cluster:               m.Name,
		Network:               cmp.Or(m.Network, m.Name),
		MeshID:                cmp.Or(inst.Spec.MeshID, inst.Name),
		TrustDomain:           inst.Spec.TrustDomain,
		ControlPlaneNamespace: inst.Spec.ControlPlaneNamespace,
		ClusterRef:            m.ClusterRef,
		APIServer:             m.APIServer,
		APIServerCA:           m.APIServerCA,
		HubSecrets:            m.HubSecrets,
		CASecret:              mesh.CASecretName(inst.Name, m.Name),
		PinnedRoot:            inst.Status.Trust.PinnedRoot,
		ReaderVersion:         want.Version,
		ReaderCharts:          want.Charts,
		Revisions:             []meshv1alpha1.Revision{want},
		DefaultRevision:       want.Name,
		GatewayReplicas:       mesh.GatewayReplicas(&inst.Spec, m),
		GatewayRevision:       want.Name,
		Restart:               orderedRestart(&inst.Spec.DataPlane.Restart),
		ReaderTokens:          readerTokens,
		ReaderTokenDuration:   inst.Spec.Discovery.TokenDuration.DeepCopy(),
		IstiodRestart:         restart,
		DeletionPolicy:        inst.Spec.DeletionPolicy,
	}
	for _, t := range inst.Spec.DataPlane.Tags {
		out.Spec.Tags = append(out.Spec.Tags, meshv1alpha1.Tag{Name: t.Name, Revision: want.Name})
	}
	slices.SortFunc(out.Spec.Tags, func(a, b meshv1alpha1.Tag) int { return cmp.Compare(a.Name, b.Name) })
	if run != nil && present != nil {
		if stage, ok := run.Orders[m.Name]; ok {
			order(&out.Spec, present, run, run.Wanted[m.Name], stage)
			out.Spec.Rollout.IgnoreChecks = ignoredChecks(&inst.Spec.Upgrade)
		}
	}
	return out, nil
}

// nameOf is the name of the revision of a member that has not served. One that joins and runs what others run has their name. With
// settings of its own it has another one, because a name stands for one content.
func (p *MembersPlan) nameOf(want, shared meshv1alpha1.Revision, joins bool) string {
	switch {
	case !joins:
		return p.Revision
	case shared.Name != "" && mesh.Difference(shared, want) == "":
		return shared.Name
	}
	return upgrade.RevisionName(want)
}

// chartsAt are the charts with which members run a version, or with which they would begin.
func chartsAt(inst *meshv1alpha1.MeshInstallation, existing []meshv1alpha1.MeshMember, version string) meshv1alpha1.ChartDigests {
	var found *meshv1alpha1.ChartDigests
	for i := range existing {
		running := mesh.RunningRevision(&existing[i])
		if !mesh.HasServed(&existing[i]) || running.Version != version {
			continue
		}
		if found == nil || running.Name == inst.Status.Revision {
			found = &running.Charts
		}
	}
	if found != nil {
		return *found
	}
	digests, _ := upgrade.ChartsOf(upgrade.Wanting(inst, version))
	return digests
}

// reads is the newest release that runs in any member or will: a peer's newer istiod cannot read a member with the permissions of an
// older one. While an upgrade is under way, or after one that stopped, peers run different releases. Empty: none is known.
type reads struct {
	version string
	charts  meshv1alpha1.ChartDigests
}

// note takes a release if it is newer.
func (r *reads) note(version string, charts meshv1alpha1.ChartDigests) {
	isSame := r.version == version && r.charts.IsZero()
	if r.version == "" || version != "" && (isSame || istioversion.Compare(version, r.version) > 0) {
		r.version, r.charts = version, charts
	}
}

// noteIn writes it into a work order if it is newer than what that has.
func (r reads) noteIn(spec *meshv1alpha1.MeshMemberSpec) {
	have := reads{version: spec.ReaderVersion, charts: spec.ReaderCharts}
	have.note(r.version, r.charts)
	if r.version == have.version && !r.charts.IsZero() {
		have.charts = r.charts
	}
	spec.ReaderVersion, spec.ReaderCharts = have.version, have.charts
}

func newestVersion(existing []meshv1alpha1.MeshMember, run *Run) reads {
	var newest reads
	if run != nil && run.Upgrade != nil && !run.IsPlanOnly {
		newest.note(run.Upgrade.Spec.To.Version, run.Upgrade.Spec.To.Charts)
	}
	for i := range existing {
		// Of a member that has not answered it is not known what it runs. Nothing is applied there before.
		if mesh.HasServed(&existing[i]) || existing[i].Status.Trust.ClaimedRoot != nil {
			for j := range existing[i].Spec.Revisions {
				newest.note(existing[i].Spec.Revisions[j].Version, existing[i].Spec.Revisions[j].Charts)
			}
		}
		// What was left may be run again, at once.
		if o := existing[i].Spec.Rollout; o != nil {
			newest.note(o.From.Version, o.From.Charts)
		}
		// What goes may still have proxies to serve.
		for _, r := range existing[i].Status.Retiring {
			newest.note(r.Version, meshv1alpha1.ChartDigests{})
		}
	}
	return newest
}

// order writes an upgrade's stage into a work order. The new revision is fixed when it is first ordered: a spec that
// changes later changes the next upgrade, not this one.
func order(spec *meshv1alpha1.MeshMemberSpec, present *meshv1alpha1.MeshMember, run *Run, to meshv1alpha1.Revision, stage meshv1alpha1.Stage) {
	u := run.Upgrade
	if u == nil {
		u = formerRecord(present)
	}
	since := metav1.NewTime(run.Now.Truncate(time.Second))
	from := mesh.RunningRevision(present)
	to.Name, to.Version, to.Charts = u.Spec.To.Revision, u.Spec.To.Version, u.Spec.To.Charts
	to.Rendering = upgrade.RenderingOf(to)
	if r := present.Spec.Rollout; r != nil && r.Upgrade == u.Name {
		from, to = r.From, r.To
		if r.Stage == stage {
			since = r.OrderedAt
		}
	}
	Content(spec, from, to, stage)
	spec.Rollout = &meshv1alpha1.MemberRollout{
		Upgrade: u.Name, From: from, To: to, Stage: stage, Cause: causeOf(u, spec.Cluster, stage), OrderedAt: since, Gates: u.Spec.Gates,
	}
}

// causeOf is why a member is rolled back. One that failed itself has failed, whatever ended the upgrade. Empty: it is not rolled back.
func causeOf(u *meshv1alpha1.MeshUpgrade, member string, stage meshv1alpha1.Stage) meshv1alpha1.UpgradeCause {
	switch {
	case stage != meshv1alpha1.StageRollback && stage != meshv1alpha1.StageDiscard:
		return ""
	case slices.Contains(u.Status.Failed, member):
		return meshv1alpha1.CauseFailed
	}
	return u.Status.Cause
}

// ignoredChecks are the checks that hold nothing up, sorted. Who goes on without peers asks nobody's istiod for them.
func ignoredChecks(u *meshv1alpha1.Upgrade) []meshv1alpha1.PreflightCheck {
	checks := slices.Clone(u.IgnoreChecks)
	if u.UnreachablePeers == meshv1alpha1.UnreachablePeersIgnore {
		checks = append(checks, meshv1alpha1.CheckPeers)
	}
	slices.Sort(checks)
	return slices.Compact(checks)
}
