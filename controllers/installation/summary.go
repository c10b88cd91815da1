package installation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
)

// summarise counts members and takes over what they found.
func summarise(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) {
	counts := meshv1alpha1.MemberCounts{Total: int32(len(inst.Spec.Members))} //nolint:gosec // bounded by the CRD
	held := upgrade.HoldsOf(inst)
	counts.Held = mesh.FirstOf(held.Names())
	noteFirst(inst, held, members)
	var roots []string
	for i := range members {
		m := &members[i]
		if mesh.IsLeaving(m) {
			counts.Leaving++
		} else if upToDate(m, meshv1alpha1.ConditionReady) {
			counts.Ready++
		}
		if c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReachable); c != nil && c.Status != metav1.ConditionTrue {
			counts.Unreachable++
		}
		if len(m.Status.Retiring) > 0 {
			counts.Retiring++
		}
		roots = append(roots, m.Status.Trust.RootFingerprints...)
	}
	slices.Sort(roots)
	inst.Status.Members = counts
	inst.Status.Revisions = upgrade.Running(members)
	inst.Status.Trust.RootFingerprints = slices.Compact(roots)
}

// noteFirst notes the revision of a mesh of which none is noted yet: what the first member serves, one that is not held if there is one.
func noteFirst(inst *meshv1alpha1.MeshInstallation, held upgrade.Holds, members []meshv1alpha1.MeshMember) {
	for _, isHeld := range []bool{false, true} {
		for i := range members {
			if inst.Status.Revision != "" {
				return
			}
			if held.Has(members[i].Spec.Cluster) == isHeld {
				inst.Status.Revision, inst.Status.EffectiveVersion = served(&members[i])
			}
		}
	}
}

// served is the revision of a member that serves, or did when its MeshMember was lost. Empty: none.
func served(m *meshv1alpha1.MeshMember) (name, version string) {
	if m.Status.Recovered != nil {
		running := mesh.RunningRevision(m)
		return running.Name, running.Version
	}
	for _, rev := range m.Status.Revisions {
		if rev.ReadyReplicas > 0 {
			return rev.Name, rev.Version
		}
	}
	return "", ""
}

// upToDate says whether a condition is True for the member's present work order.
func upToDate(m *meshv1alpha1.MeshMember, kind string) bool {
	c := meta.FindStatusCondition(m.Status.Conditions, kind)
	return c != nil && c.Status == metav1.ConditionTrue && counts(m, c, kind)
}

// counts says whether a condition of a member speaks of its present work order. In an upgrade that changes with each
// stage, and what the member last said of its parts holds until it says otherwise: nobody has taken anything away. Ready
// speaks of the whole order, and is never taken over from another one.
func counts(m *meshv1alpha1.MeshMember, c *metav1.Condition, kind string) bool {
	// The member reports of an upgrade until it has seen the first order without one.
	takesPart := m.Spec.Rollout != nil || m.Status.Rollout != nil
	return c.ObservedGeneration == m.Generation || takesPart && kind != meshv1alpha1.ConditionReady
}

// aggregate sums the members' conditions up: each is True when it is for every member.
func aggregate(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []status.Outcome {
	var outcomes []status.Outcome
	serving := servingMembers(members)
	for _, kind := range []string{
		meshv1alpha1.ConditionTrustRootReady, meshv1alpha1.ConditionControlPlanesReady, meshv1alpha1.ConditionGatewaysReady,
		meshv1alpha1.ConditionDiscoveryReady, meshv1alpha1.ConditionReady,
	} {
		o := status.Outcome{Type: kind, Result: aggregateOne(inst, members, serving, kind)}
		if kind == meshv1alpha1.ConditionReady {
			// Ready itself follows from the outcomes.
			o.Type = ""
		}
		outcomes = append(outcomes, o)
	}
	return append(outcomes, status.Outcome{Type: meshv1alpha1.ConditionAvailable, Result: availability(members)},
		status.Outcome{Type: meshv1alpha1.ConditionTagsCurrent, Aside: true, Result: keptTags(members)},
		status.Outcome{Type: meshv1alpha1.ConditionHubSecretsProtected, Aside: true, Result: hubsRead(members)},
		status.Outcome{Type: meshv1alpha1.ConditionCredentialCurrent, Aside: true, Result: credentials(members)})
}

// keptTags says which members keep tags that the spec no longer names.
func keptTags(members []meshv1alpha1.MeshMember) phase.Result {
	var keeping []string
	for i := range members {
		var tags []string
		for _, t := range members[i].Status.KeptTags {
			tags = append(tags, t.Name)
		}
		if len(tags) > 0 {
			keeping = append(keeping, members[i].Spec.Cluster+" ("+mesh.List(tags, len(tags))+")")
		}
	}
	if len(keeping) == 0 {
		return phase.Complete(meshv1alpha1.ReasonReady, "there are no tags but those of spec.dataPlane.tags")
	}
	return phase.Waiting(meshv1alpha1.ReasonTagInUse, fmt.Sprintf("%d members keep tags that spec.dataPlane.tags does not name, because objects "+
		"there name them: %s; status.keptTags of each MeshMember has the objects", len(keeping), mesh.List(keeping, len(keeping))), 0)
}

// credentials says which members are reached by a credential that expires soon. The reason is the worst of theirs.
func credentials(members []meshv1alpha1.MeshMember) phase.Result {
	order := []string{meshv1alpha1.ReasonCredentialShortLived, meshv1alpha1.ReasonCredentialNotRenewed, meshv1alpha1.ReasonCredentialExpiring, meshv1alpha1.ReasonCredentialExpired}
	worst, ending := 0, []string(nil)
	for i := range members {
		c := meta.FindStatusCondition(members[i].Status.Conditions, meshv1alpha1.ConditionCredentialCurrent)
		if c == nil || c.Status != metav1.ConditionFalse {
			continue
		}
		worst = max(worst, slices.Index(order, c.Reason))
		ending = append(ending, members[i].Spec.Cluster+" ("+c.Reason+")")
	}
	if len(ending) == 0 {
		return phase.Complete(meshv1alpha1.ReasonReady, "no credential for a member expires soon")
	}
	return phase.Waiting(order[worst], fmt.Sprintf("the operator will lose the connection to %d members, or has lost it, unless their credentials are renewed: %s; the "+
		"condition CredentialCurrent of each MeshMember has the cure", len(ending), mesh.List(ending, len(ending))), 0)
}

// availability says whether every member that has ever served still does. One that is joining, or whose work order has
// just changed, takes nothing away from what is there.
func availability(members []meshv1alpha1.MeshMember) phase.Result {
	serving := 0
	var down []string
	for i := range members {
		m := &members[i]
		switch {
		case meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionAvailable):
			serving++
		case mesh.HasServed(m) && !mesh.IsLeaving(m):
			down = append(down, m.Spec.Cluster)
		}
	}
	if serving == 0 || len(down) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForMembers,
			fmt.Sprintf("%d members serve; not known to serve: %s", serving, cmp.Or(mesh.List(down, len(down)), "none yet")), 0)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("%d members serve", serving))
}

// aggregateOne sums one condition up. Serving are the members that peers must have seen.
func aggregateOne(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, serving map[string]bool, kind string) phase.Result {
	total := len(inst.Spec.Members)
	var behind []string
	worst := phase.Result{}
	seen := 0
	for i := range members {
		m := &members[i]
		if mesh.IsLeaving(m) {
			continue
		}
		seen++
		if kind == meshv1alpha1.ConditionTrustRootReady && hasOtherRoot(inst, m) {
			behind = append(behind, m.Spec.Cluster)
			worst = worse(worst, phase.Result{Kind: phase.Stalled, Reason: meshv1alpha1.ReasonForeignRoot, Message: otherRoot(inst, m)})
			continue
		}
		if upToDate(m, kind) {
			if overlooked, n := unseen(m, kind, serving); n > 0 {
				behind = append(behind, m.Spec.Cluster)
				worst = worse(worst, phase.Waiting(meshv1alpha1.ReasonWaitingForMembers,
					m.Spec.Cluster+": istiod was not asked yet for "+mesh.List(overlooked, n), 0))
			}
			continue
		}
		behind = append(behind, m.Spec.Cluster)
		worst = worse(worst, phase.Result{Kind: kindOf(m), Reason: meshv1alpha1.ReasonWaitingForMembers, Message: m.Spec.Cluster + ": " + message(m, kind)})
	}
	if seen < total {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForMembers, fmt.Sprintf("%d of %d members are planned", seen, total), 0)
	}
	if len(behind) == 0 {
		return phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("%d of %d members", total, total)+retiringIn(members, kind)+unknownIn(members, kind))
	}
	worst.Message = fmt.Sprintf("%d of %d members not ready (%s); %s", len(behind), total, mesh.List(behind, len(behind)), worst.Message)
	worst.Err = errors.New(worst.Message)
	return worst
}

// hasOtherRoot says whether a member that is content has another root than the mesh. One that is not says so itself.
func hasOtherRoot(inst *meshv1alpha1.MeshInstallation, m *meshv1alpha1.MeshMember) bool {
	pinned, root := mesh.JoinRoot(inst.Status.Trust.PinnedRoot), mesh.JoinRoot(m.Status.Trust.RootFingerprints)
	return pinned != "" && root != "" && root != pinned && meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionTrustRootReady)
}

func otherRoot(inst *meshv1alpha1.MeshInstallation, m *meshv1alpha1.MeshMember) string {
	return fmt.Sprintf("%s: istiod hands out root %s, the mesh has %s; take the member out of spec.members, and add it again when it is gone",
		m.Spec.Cluster, mesh.ShortRoot(m.Status.Trust.RootFingerprints), mesh.ShortRoot(inst.Status.Trust.PinnedRoot))
}

// retiringIn names the members in which a control plane stays because something still uses it. That is no reason not to be
// ready.
func retiringIn(members []meshv1alpha1.MeshMember, kind string) string {
	if kind != meshv1alpha1.ConditionControlPlanesReady {
		return ""
	}
	var in []string
	for i := range members {
		if len(members[i].Status.Retiring) > 0 {
			in = append(in, members[i].Spec.Cluster)
		}
	}
	if len(in) == 0 {
		return ""
	}
	return "; former control planes are still used in: " + mesh.List(in, len(in))
}

// unknownIn says which releases members run that this operator does not know.
func unknownIn(members []meshv1alpha1.MeshMember, kind string) string {
	if kind != meshv1alpha1.ConditionControlPlanesReady {
		return ""
	}
	var versions, in []string
	for i := range members {
		for _, r := range members[i].Spec.Revisions {
			if _, isKnown := istioversion.Installable(r.Version, !r.Charts.IsZero()); !isKnown {
				versions, in = append(versions, r.Version), append(in, members[i].Spec.Cluster)
			}
		}
	}
	if len(in) == 0 {
		return ""
	}
	slices.Sort(versions)
	return fmt.Sprintf("; this operator has no charts of Istio %s of %s and keeps it as it was installed: set spec.version to one of %s",
		strings.Join(slices.Compact(versions), ", "), mesh.List(in, len(in)), strings.Join(istioversion.Supported(), ", "))
}

// worse is the worse of two results, the latter of two that are as bad.
func worse(a, b phase.Result) phase.Result {
	if b.Kind >= a.Kind {
		return b
	}
	return a
}

// servingMembers are the clusters of the members that have served and stay.
func servingMembers(members []meshv1alpha1.MeshMember) map[string]bool {
	out := make(map[string]bool, len(members))
	for i := range members {
		if m := &members[i]; m.Spec.Removal != meshv1alpha1.RemovalNow && mesh.HasServed(m) {
			out[m.Spec.Cluster] = true
		}
	}
	return out
}

// unseen lists the first of the peers that serve and that a member's proof, made before they did, leaves out, and counts them. Every member
// has all others as peers: a peer is looked up only if the states of the peers are not in the order of the work order, as members report
// them.
func unseen(m *meshv1alpha1.MeshMember, kind string, serving map[string]bool) (names []string, n int) {
	if kind != meshv1alpha1.ConditionDiscoveryReady && kind != meshv1alpha1.ConditionReady {
		return nil, 0
	}
	states := m.Status.Discovery.Peers
	var synced map[string]bool
	isSynced := func(at int, name string) bool {
		if at < len(states) && states[at].Name == name {
			return states[at].State == meshv1alpha1.PeerSynced
		}
		if synced == nil {
			synced = make(map[string]bool, len(states))
			for i := range states {
				synced[states[i].Name] = states[i].State == meshv1alpha1.PeerSynced
			}
		}
		return synced[name]
	}
	for i, p := range m.Spec.Peers {
		if isSynced(i, p.Name) || !serving[p.Name] {
			continue
		}
		if n++; n <= mesh.NamesShown {
			names = append(names, p.Name)
		}
	}
	return names, n
}

// kindOf reads from a member's conditions how its reconciler's last pass ended.
func kindOf(m *meshv1alpha1.MeshMember) phase.Kind {
	switch {
	case meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionStalled):
		return phase.Stalled
	case meta.IsStatusConditionFalse(m.Status.Conditions, meshv1alpha1.ConditionReady):
		return phase.Retry
	}
	return phase.Wait
}

func message(m *meshv1alpha1.MeshMember, kind string) string {
	c := meta.FindStatusCondition(m.Status.Conditions, kind)
	if c != nil && c.Status == metav1.ConditionUnknown {
		// The member's Ready says why nothing can be known.
		c = meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReady)
	}
	if c == nil || !counts(m, c, kind) {
		return "not observed yet"
	}
	return c.Reason + ": " + c.Message
}

// hubsRead says which members are hubs whose Secrets peers can read.
func hubsRead(members []meshv1alpha1.MeshMember) phase.Result {
	var told []string
	for i := range members {
		for _, c := range members[i].Status.Conditions {
			if c.Type == meshv1alpha1.ConditionHubSecretsProtected && c.Status == metav1.ConditionFalse {
				told = append(told, members[i].Spec.Cluster+": "+c.Message)
			}
		}
	}
	if len(told) == 0 {
		return phase.Complete(meshv1alpha1.ReasonReady, "no peer reads the Secrets of the hub")
	}
	return phase.Waiting(meshv1alpha1.ReasonHubSecretsReadable, mesh.Sentences(told, mesh.NamesShown), 0)
}
