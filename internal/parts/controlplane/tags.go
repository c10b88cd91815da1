package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// tagMemory is what is remembered of a member's tags between passes.
type tagMemory struct {
	// applied are the tags that were last applied; nil says that this process has not applied any.
	applied []string
	// written is when tags were last changed.
	written time.Time
	// asked is when the member was last read for who names tags, kept what was found.
	asked time.Time
	kept  []meshv1alpha1.KeptTag
}

// keptNamesPace says how often a member that keeps tags is read, by how long it has kept them.
func keptNamesPace(lasted time.Duration) time.Duration {
	return min(max(lasted/10, 10*time.Second), outcome.Recheck)
}

// pointTags points the tags at their revisions, which serve.
func (s *Steps) pointTags(ctx context.Context, pass *member.Pass) phase.Result {
	spec, result := &pass.Object.Spec, phase.Complete(meshv1alpha1.ReasonReady, "")
	memory := &s.memory.Of(pass).tags
	keeper, err := tagServiceRevision(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	if isTooEarly(pass, keeper) {
		result.After, result.Message = outcome.ShortWait, "the tags are about to move"
		return result
	}
	if err := s.keepTags(ctx, pass); err != nil {
		return outcome.Failed(err)
	}
	tags, isKept, err := s.tags(ctx, pass, keeper)
	if err != nil {
		return outcome.RenderFailed(err)
	}
	if memory.applied = nil; !isKept {
		if err := s.applyTags(ctx, pass, tags); err != nil {
			return outcome.Failed(err)
		}
	}
	armed, err := Observe(ctx, pass.Remote, pass.Namespace(), spec.DefaultRevision, pass.Owner())
	if err != nil {
		return outcome.Failed(err)
	}
	if !armed.Armed {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, armed.Message, outcome.ShortWait).
			Overdue(armed.Created, pass.Now, istiodDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	return result
}

// applyTags applies the tags, and notes what was written.
func (s *Steps) applyTags(ctx context.Context, pass *member.Pass, tags apply.Component) error {
	memory := &s.memory.Of(pass).tags
	err := pass.Apply(ctx, tags)
	if pass.Wrote(Tags) {
		memory.written = pass.Now
	}
	if err == nil {
		memory.remember(mesh.Tags(pass.Object))
	}
	return err
}

// keepTags decides which tags that the work order no longer names stay: those that something in the member names, because pods
// that it makes would get no proxy. It writes the status and the condition. In steady state it reads nothing.
func (s *Steps) keepTags(ctx context.Context, pass *member.Pass) error {
	unwanted, err := unwantedTags(ctx, pass, s.memory.Of(pass).tags.applied)
	if err != nil {
		return err
	}
	var lasted time.Duration
	if c := meta.FindStatusCondition(pass.Object.Status.Conditions, meshv1alpha1.ConditionTagsCurrent); c != nil && len(pass.Object.Status.KeptTags) > 0 {
		lasted = pass.Now.Sub(c.LastTransitionTime.Time)
	}
	pace, memory := keptNamesPace(lasted), &s.memory.Of(pass).tags
	isFresh := len(unwanted) == len(memory.kept) && pass.Now.Sub(memory.asked) < pace &&
		!slices.ContainsFunc(memory.kept, func(t meshv1alpha1.KeptTag) bool { return !slices.Contains(unwanted, t.Name) })
	if !isFresh {
		memory.kept, memory.asked = nil, pass.Now
		for _, name := range unwanted {
			if t := heldTag(ctx, pass, name); t.Holders.Count > 0 || len(t.Unknown) > 0 {
				memory.kept = append(memory.kept, t)
			}
		}
	}
	pass.Object.Status.KeptTags = memory.kept
	pass.Aside = append(pass.Aside, tagsCurrent(pass.Object.Status.KeptTags, pass.Object.Spec.DefaultRevision, pace))
	return nil
}

// unwantedTags are the tags that are there and that the work order does not name, sorted.
func unwantedTags(ctx context.Context, pass *member.Pass, present []string) ([]string, error) {
	if present == nil {
		var err error
		if present, err = pass.Applier().LabelValues(ctx, Tags, TagLabel); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(present), func(name string) bool {
		return name == DefaultTag ||
			slices.ContainsFunc(pass.Object.Spec.Tags, func(t meshv1alpha1.Tag) bool { return t.Name == name })
	}), nil
}

// heldTag says what keeps a tag. What cannot be asked keeps it.
func heldTag(ctx context.Context, pass *member.Pass, name string) meshv1alpha1.KeptTag {
	t := meshv1alpha1.KeptTag{Name: name}
	names, err := pass.World.Names(ctx)
	if err != nil {
		t.Unknown = []string{err.Error()}
		return t
	}
	t.Holders = mesh.FirstOf(names.Of(name))
	for _, kind := range names.Unknown() {
		t.Unknown = append(t.Unknown, "the credential may not list "+kind)
	}
	return t
}

// remember notes which tags there are now.
func (m *tagMemory) remember(tags []meshv1alpha1.Tag) {
	m.applied = []string{DefaultTag}
	for _, t := range tags {
		m.applied = append(m.applied, t.Name)
	}
	slices.Sort(m.applied)
}

// tagsCurrent says which tags are kept, and how that ends.
func tagsCurrent(kept []meshv1alpha1.KeptTag, revision string, pace time.Duration) status.Outcome {
	o := status.Outcome{Type: meshv1alpha1.ConditionTagsCurrent, Aside: true}
	if len(kept) == 0 {
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, "there are no tags but those of spec.dataPlane.tags")
		return o
	}
	var texts []string
	for _, t := range kept[:min(len(kept), mesh.NamesShown)] {
		texts = append(texts, fmt.Sprintf("tag %q is not in spec.dataPlane.tags and stays, at revision %s: %s", t.Name, revision, status.Holders(t)))
	}
	if more := len(kept) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("%d more tags are kept", more))
	}
	o.Result = phase.Waiting(meshv1alpha1.ReasonTagInUse, "relabel what names a tag with one of the spec and restart its pods, or put the tag back: "+
		strings.Join(texts, "; "), pace)
	return o
}

// tagServiceRevision is the revision at which the Services of the tags stay while workloads leave it: the tags point at it, or did until
// now. A revision at which no tag has ever pointed, as when a member goes back before they moved, must not get Gateways by
// a Service.
func tagServiceRevision(ctx context.Context, pass *member.Pass) (string, error) {
	leaving := Leaving(&pass.Object.Spec)
	if leaving == "" {
		return "", nil
	}
	tags, err := tagsAt(ctx, pass, leaving)
	if err != nil || len(tags) == 0 {
		return "", err
	}
	return leaving, nil
}

// TagsWritten is when the tags of a member were last changed, as far as this process knows.
func (s *Steps) TagsWritten(pass *member.Pass) time.Time { return s.memory.Of(pass).tags.written }

// tagsAt are the tags whose webhook or Service is of a revision.
func tagsAt(ctx context.Context, pass *member.Pass, revision string) ([]string, error) {
	var tags []string
	for _, kind := range []schema.GroupVersionKind{
		admissionregistrationv1.SchemeGroupVersion.WithKind("MutatingWebhookConfigurationList"),
		corev1.SchemeGroupVersion.WithKind("ServiceList"),
	} {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		if err := pass.Remote.List(ctx, list, client.HasLabels{TagLabel}, client.MatchingLabels{
			meshv1alpha1.LabelInstallation: pass.Owner(), istio.RevisionLabel: revision,
		}); err != nil {
			return nil, fmt.Errorf("list tags of revision %q: %w", revision, err)
		}
		for i := range list.Items {
			tags = append(tags, "tag "+list.Items[i].Labels[TagLabel])
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// permissionsSettle is how long tags wait at most for permissions to be known. What else is written, over and over again
// perhaps, must not keep a member from going back.
const permissionsSettle = 3 * time.Second

// isTooEarly says that the keeper's permissions may have changed in this very pass. API servers take a moment to know them,
// and until then two istiods would write the same Deployments.
func isTooEarly(pass *member.Pass, keeper string) bool {
	return keeper != "" && pass.Wrote(RevisionPrefix+keeper) && pass.Now.Sub(pass.Object.Status.Rollout.Since.Time) < permissionsSettle
}
