package member

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/preflight"
	"github.com/meshfleet/meshfleet/internal/status"
)

// tagMemory is what is remembered of a member's tags between passes.
type tagMemory struct {
	// applied are the tags that were last applied; nil says that this process has not applied any.
	applied []string
	// asked is when the member was last read for who names tags, kept what was found.
	asked time.Time
	kept  []meshv1alpha1.KeptTag
}

// keptNamesPace says how often a member that keeps tags is read, by how long it has kept them.
func keptNamesPace(lasted time.Duration) time.Duration {
	return min(max(lasted/10, 10*time.Second), outcome.Recheck)
}

// keepTags decides which tags that the work order no longer names stay: those that something in the member names, because pods
// that it makes would get no proxy. It writes the status and the condition. In steady state it reads nothing.
func (r *Reconciler) keepTags(ctx context.Context, s *scope) error {
	unwanted, err := unwantedTags(ctx, s)
	if err != nil {
		return err
	}
	var lasted time.Duration
	if c := meta.FindStatusCondition(s.member.Status.Conditions, meshv1alpha1.ConditionTagsCurrent); c != nil && len(s.member.Status.KeptTags) > 0 {
		lasted = s.now.Sub(c.LastTransitionTime.Time)
	}
	pace, memory := keptNamesPace(lasted), &s.state.tags
	isFresh := len(unwanted) == len(memory.kept) && s.now.Sub(memory.asked) < pace &&
		!slices.ContainsFunc(memory.kept, func(t meshv1alpha1.KeptTag) bool { return !slices.Contains(unwanted, t.Name) })
	if !isFresh {
		memory.kept, memory.asked = nil, s.now
		for _, name := range unwanted {
			if t := r.heldTag(ctx, s, name); t.Holders.Count > 0 || len(t.Unknown) > 0 {
				memory.kept = append(memory.kept, t)
			}
		}
	}
	s.member.Status.KeptTags = memory.kept
	s.aside = append(s.aside, tagsCurrent(s.member.Status.KeptTags, s.member.Spec.DefaultRevision, pace))
	return nil
}

// unwantedTags are the tags that are there and that the work order does not name, sorted.
func unwantedTags(ctx context.Context, s *scope) ([]string, error) {
	present := s.state.tags.applied
	if present == nil {
		var err error
		if present, err = s.state.applier.LabelValues(ctx, controlplane.Tags, controlplane.TagLabel); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(present), func(name string) bool {
		return name == controlplane.DefaultTag ||
			slices.ContainsFunc(s.member.Spec.Tags, func(t meshv1alpha1.Tag) bool { return t.Name == name })
	}), nil
}

// heldTag says what keeps a tag. What cannot be asked keeps it.
func (r *Reconciler) heldTag(ctx context.Context, s *scope, name string) meshv1alpha1.KeptTag {
	t := meshv1alpha1.KeptTag{Name: name}
	names, err := s.readNames(ctx)
	if err != nil {
		t.Unknown = []string{err.Error()}
		return t
	}
	t.Holders = preflight.FirstOf(names.Of(name))
	for _, kind := range names.Unknown() {
		t.Unknown = append(t.Unknown, "the credential may not list "+kind)
	}
	return t
}

// readNames reads who names tags and revisions in the member, once in a pass.
func (s *scope) readNames(ctx context.Context) (workloads.Names, error) {
	if s.names == nil {
		names, err := workloads.ReadNames(ctx, s.remote, s.namespace())
		if err != nil {
			return workloads.Names{}, err
		}
		s.names = &names
	}
	return *s.names, nil
}

// addNames adds what names a revision by the label istio.io/rev: pods that it makes later would get no proxy.
func (s *scope) addNames(ctx context.Context, revision string, u *users) {
	names, err := s.readNames(ctx)
	if err != nil {
		u.silent = append(u.silent, "the member's API server ("+err.Error()+")")
		return
	}
	for _, holder := range names.Of(revision) {
		u.staying = append(u.staying, holder+" by its label istio.io/rev")
	}
	for _, kind := range names.Unknown() {
		u.silent = append(u.silent, kind+", because the credential may not list them")
	}
}

// tags are those of the work order and those that are kept. They follow the default revision, as all tags do.
func (s *scope) tags() []meshv1alpha1.Tag {
	tags := slices.Clone(s.member.Spec.Tags)
	for _, t := range s.member.Status.KeptTags {
		if !slices.ContainsFunc(tags, func(o meshv1alpha1.Tag) bool { return o.Name == t.Name }) {
			tags = append(tags, meshv1alpha1.Tag{Name: t.Name, Revision: s.member.Spec.DefaultRevision})
		}
	}
	return tags
}

// withKeptTags is the work order together with the tags that are kept.
func (s *scope) withKeptTags() *meshv1alpha1.MeshMemberSpec {
	spec := s.member.Spec.DeepCopy()
	spec.Tags = s.tags()
	return spec
}

// remember notes which tags there are now.
func (m *tagMemory) remember(tags []meshv1alpha1.Tag) {
	m.applied = []string{controlplane.DefaultTag}
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
