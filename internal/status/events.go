package status

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// RecordMember writes an event for each transition between two states of a MeshMember.
func RecordMember(r events.EventRecorder, before, after *meshv1alpha1.MeshMember) {
	conditions(r, after, before.Status.Conditions, after.Status.Conditions, "Reconcile")
	if before.Status.Gateway.Announced == nil && after.Status.Gateway.Announced != nil {
		r.Eventf(after, nil, corev1.EventTypeNormal, "GatewayAnnounced", "Announce",
			"Announced the east-west gateway at %s to peers", strings.Join(after.Status.Gateway.Addresses, ", "))
	}
	becameFalse(r, after, before.Status.Conditions, after.Status.Conditions, meshv1alpha1.ConditionCredentialCurrent)
	becameFalse(r, after, before.Status.Conditions, after.Status.Conditions, meshv1alpha1.ConditionSidecarsRedirected)
	recordRetiring(r, before, after)
	keptTags(r, before, after)
	recordContested(r, before, after)
	recordRemoval(r, before, after)
}

// recordRetiring writes an event when an old revision is first kept because something uses it, and when it is removed. A
// revision that is wanted again gets no event.
func recordRetiring(r events.EventRecorder, before, after *meshv1alpha1.MeshMember) {
	used := func(m *meshv1alpha1.MeshMember, name string) (isThere, isUsed bool, users string) {
		for _, rev := range m.Status.Retiring {
			if rev.Name == name {
				return true, rev.Users.Count > 0, sampleText(rev.Users)
			}
		}
		return false, false, ""
	}
	for _, rev := range after.Status.Retiring {
		_, wasUsed, _ := used(before, rev.Name)
		if _, isUsed, users := used(after, rev.Name); isUsed && !wasUsed {
			r.Eventf(after, nil, corev1.EventTypeNormal, "RevisionStillUsed", "Retire", "Kept revision %s: still used by %s", rev.Name, mesh.Shorten(users, maxNote))
		}
	}
	for _, rev := range before.Status.Retiring {
		isWanted := slices.ContainsFunc(after.Spec.Revisions, func(o meshv1alpha1.Revision) bool { return o.Name == rev.Name })
		if isThere, _, _ := used(after, rev.Name); !isThere && !isWanted {
			r.Eventf(after, nil, corev1.EventTypeNormal, "RevisionRemoved", "Retire", "Removed revision %s", rev.Name)
		}
	}
}

// keptTags writes an event when a tag is first kept although it is not in the spec, and when that ends.
func keptTags(r events.EventRecorder, before, after *meshv1alpha1.MeshMember) {
	has := func(tags []meshv1alpha1.KeptTag, name string) bool {
		return slices.ContainsFunc(tags, func(t meshv1alpha1.KeptTag) bool { return t.Name == name })
	}
	for _, t := range after.Status.KeptTags {
		if !has(before.Status.KeptTags, t.Name) {
			r.Eventf(after, nil, corev1.EventTypeWarning, "TagKept", "Retire", "Kept tag %q, which is no longer in spec.dataPlane.tags: %s",
				t.Name, mesh.Shorten(Holders(t), maxNote))
		}
	}
	for _, t := range before.Status.KeptTags {
		switch {
		case has(after.Status.KeptTags, t.Name):
		case slices.ContainsFunc(after.Spec.Tags, func(o meshv1alpha1.Tag) bool { return o.Name == t.Name }):
			r.Eventf(after, nil, corev1.EventTypeNormal, "TagAdopted", "Adopt", "Adopted tag %q: it is in spec.dataPlane.tags again", t.Name)
		default:
			r.Eventf(after, nil, corev1.EventTypeNormal, "TagRemoved", "Retire", "Removed tag %q: no object names it any more", t.Name)
		}
	}
}

// recordContested writes an event when another client begins to keep changing objects of the operator.
func recordContested(r events.EventRecorder, before, after *meshv1alpha1.MeshMember) {
	is := meta.FindStatusCondition(after.Status.Conditions, meshv1alpha1.ConditionSoleWriter)
	if is != nil && is.Status == metav1.ConditionFalse && !meta.IsStatusConditionFalse(before.Status.Conditions, meshv1alpha1.ConditionSoleWriter) {
		r.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Apply", "Another client changes objects of the mesh: %s", mesh.Shorten(is.Message, maxNote))
	}
}

// Holders is a text that names what keeps a tag.
func Holders(t meshv1alpha1.KeptTag) string {
	var parts []string
	if t.Holders.Count > 0 {
		parts = append(parts, "named by the label istio.io/rev of "+sampleText(t.Holders))
	}
	if len(t.Unknown) > 0 {
		parts = append(parts, "could not check all objects: "+strings.Join(t.Unknown, ", "))
	}
	return strings.Join(parts, "; ")
}

// sampleText contains the names of a sample and the number of things without a name.
func sampleText(s meshv1alpha1.Sample) string {
	return mesh.Enumerate(s.Names, int(s.Count), len(s.Names), ", ")
}

// RecordInstallation writes an event for each transition between two states of a MeshInstallation.
func RecordInstallation(r events.EventRecorder, before, after *meshv1alpha1.MeshInstallation) {
	conditions(r, after, before.Status.Conditions, after.Status.Conditions, "Reconcile")
	becameFalse(r, after, before.Status.Conditions, after.Status.Conditions, meshv1alpha1.ConditionTrustRootCurrent)
	becameFalse(r, after, before.Status.Conditions, after.Status.Conditions, meshv1alpha1.ConditionReleaseSupported)
	recordHolds(r, before, after)
	if before.Status.EffectiveVersion == "" && after.Status.EffectiveVersion != "" {
		r.Eventf(after, nil, corev1.EventTypeNormal, "VersionInForce", "Install",
			"First control plane of Istio %s served", after.Status.EffectiveVersion)
	}
}

// recordHolds writes an event when the time until which a member is held passes, also of one more member.
func recordHolds(r events.EventRecorder, before, after *meshv1alpha1.MeshInstallation) {
	was, is := meta.FindStatusCondition(before.Status.Conditions, meshv1alpha1.ConditionHoldsCurrent), meta.FindStatusCondition(after.Status.Conditions, meshv1alpha1.ConditionHoldsCurrent)
	if is == nil || is.Status != metav1.ConditionFalse || was != nil && was.Status == is.Status && was.Message == is.Message {
		return
	}
	r.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Upgrade", "Held for longer than agreed: %s", mesh.Shorten(is.Message, maxNote))
}

// conditions writes an event when Ready or Reachable changes, or Stalled gets another reason.
func conditions(r events.EventRecorder, object runtime.Object, before, after []metav1.Condition, action string) {
	for _, kind := range []string{meshv1alpha1.ConditionReady, meshv1alpha1.ConditionReachable, meshv1alpha1.ConditionStalled} {
		was, is := meta.FindStatusCondition(before, kind), meta.FindStatusCondition(after, kind)
		if is == nil || was != nil && was.Status == is.Status && (kind != meshv1alpha1.ConditionStalled || was.Reason == is.Reason) {
			continue
		}
		switch {
		case kind == meshv1alpha1.ConditionStalled:
			r.Eventf(object, nil, corev1.EventTypeWarning, is.Reason, action, "Stalled: %s", mesh.Shorten(is.Message, maxNote))
		case is.Status == metav1.ConditionTrue:
			r.Eventf(object, nil, corev1.EventTypeNormal, "Became"+kind, action, "Became %s: %s", kind, mesh.Shorten(is.Message, maxNote))
		case was != nil && was.Status == metav1.ConditionTrue:
			r.Eventf(object, nil, corev1.EventTypeWarning, is.Reason, action, "No longer %s: %s", kind, mesh.Shorten(is.Message, maxNote))
		}
	}
}

// becameFalse writes an event when a condition becomes False, or gets another reason.
func becameFalse(r events.EventRecorder, object runtime.Object, before, after []metav1.Condition, kind string) {
	was, is := meta.FindStatusCondition(before, kind), meta.FindStatusCondition(after, kind)
	if is == nil || is.Status != metav1.ConditionFalse || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return
	}
	r.Eventf(object, nil, corev1.EventTypeWarning, is.Reason, "Reconcile", "%s became False: %s", kind, mesh.Shorten(is.Message, maxNote))
}

// maxNote is the maximum length of a text in an event, in bytes. API servers reject notes of more than 1024 bytes, and each
// event adds a few words. The status has the complete text.
const maxNote = 960

// RecordUpgrade writes an event for each transition between two states of a MeshUpgrade. Interventions come before their
// effects.
func RecordUpgrade(r events.EventRecorder, before, after *meshv1alpha1.MeshUpgrade) {
	for _, i := range added(before.Status.Interventions, after.Status.Interventions) {
		recordIntervention(r, after, i)
	}
	if after.Status.Phase != before.Status.Phase && after.Status.Phase != "" {
		kind := corev1.EventTypeNormal
		switch after.Status.Phase {
		case meshv1alpha1.UpgradePaused, meshv1alpha1.UpgradeRollingBack, meshv1alpha1.UpgradeRolledBack,
			meshv1alpha1.UpgradeStopping, meshv1alpha1.UpgradeStopped:
			kind = corev1.EventTypeWarning
		}
		r.Eventf(after, nil, kind, "Upgrade"+string(after.Status.Phase), "Upgrade", "Phase changed to %s: %s", after.Status.Phase, mesh.Shorten(after.Status.Message, maxNote))
	}
	if after.Status.Wave != before.Status.Wave && after.Status.Wave != "" {
		r.Eventf(after, nil, corev1.EventTypeNormal, "WaveStarted", "Upgrade", "Started wave %q", after.Status.Wave)
	}
}

// recordIntervention writes the event of one intervention.
func recordIntervention(r events.EventRecorder, u *meshv1alpha1.MeshUpgrade, i meshv1alpha1.Intervention) {
	by := i.By
	if by == meshv1alpha1.ByAnnotation {
		by = "the annotation " + meshv1alpha1.AnnotationAction
	}
	write := func(reason, text string, args ...any) {
		r.Eventf(u, nil, corev1.EventTypeNormal, reason, "Upgrade", text, args...)
	}
	switch i.Action {
	case meshv1alpha1.ActionPause:
		write("Paused", "Paused by %s", by)
	case meshv1alpha1.ActionResume:
		write("Resumed", "Resumed by %s", by)
	case meshv1alpha1.ActionAbort:
		write("Aborted", "Aborted by %s", by)
	case meshv1alpha1.ActionRetry:
		of := "another MeshUpgrade"
		if retry := u.Spec.Retry; retry != nil {
			of = "MeshUpgrade " + retry.Of
		}
		write("Retried", "Started to retry %s, requested by %s", of, by)
	case meshv1alpha1.ActionApprove:
		write("WaveApproved", "Wave %q was approved by %s", i.Wave, by)
	case meshv1alpha1.ActionReject:
		write("WaveRejected", "Wave %q was rejected by %s", i.Wave, by)
	}
}

// added are the new interventions. The oldest ones may have been dropped to make room for them.
func added(before, after []meshv1alpha1.Intervention) []meshv1alpha1.Intervention {
	kept := min(len(before), len(after))
	for kept > 0 && !equality.Semantic.DeepEqual(before[len(before)-kept:], after[:kept]) {
		kept--
	}
	return after[kept:]
}
