package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	trustComponent = "trust"
	cacertsName    = "cacerts"
	// rootConfigMap is where istiod publishes the root that it hands to workloads.
	rootConfigMap = "istio-ca-root-cert"

	istiodDeadline = 10 * time.Minute
	rootDeadline   = 3 * time.Minute
)

// foundation applies what all revisions share: CRDs, the reader account with its permissions, and the default validator. It needs no
// certificate, so it does not wait for one.
//
// A member that goes back has all of it from before. What is refused then stays as it is.
func (r *Reconciler) foundation(ctx context.Context, s *scope) phase.Result {
	crds, base, err := controlplane.Foundation(r.Charts, withoutTarget(s.member))
	if err != nil {
		return renderFailed(err)
	}
	reader, err := controlplane.ReaderPermissions(r.Charts, &s.member.Spec)
	if err != nil {
		return renderFailed(err)
	}
	for _, c := range []apply.Component{crds, base, reader} {
		err := r.apply(ctx, s, c)
		if isGoingBack(s.member) && apply.AsRefusal(err) != nil {
			log.FromContext(ctx).Info("Going back without objects that the API server refuses", "component", c.Name, "reason", err.Error())
			continue
		}
		if err != nil {
			return outcome.Failed(err)
		}
	}
	if err := r.watchGateways(ctx, s); err != nil {
		return outcome.Failed(err)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// install applies every istiod. Precondition: cacerts, because an istiod that starts without it makes a root of its
// own. One that is only being tried and that the API server refuses does not keep the member from what the other needs. One that is
// gone back from stays as it is.
func (r *Reconciler) install(ctx context.Context, s *scope) phase.Result {
	spec := &s.member.Spec
	wanted := map[string]bool{}
	for i := range spec.Revisions {
		rev := &spec.Revisions[i]
		wanted[controlplane.RevisionPrefix+rev.Name] = true
		if isGoingBack(s.member) && rev.Name == spec.Rollout.To {
			r.restrict(ctx, s, rev)
			continue
		}
		c, err := controlplane.Revision(r.Charts, spec, rev)
		if err != nil {
			return renderFailed(err)
		}
		if err := r.apply(ctx, s, c); err != nil && (s.refused == nil || mesh.RevisionsInUse(spec)[rev.Name]) {
			return outcome.Failed(err)
		}
	}
	if err := r.restartRetiring(ctx, s); err != nil {
		return outcome.Failed(err)
	}
	if err := r.retireRevisions(ctx, s, wanted); err != nil {
		return outcome.Failed(err)
	}
	return phase.Complete(meshv1alpha1.ReasonProgressing, "istiod is applied")
}

// restrict takes from the istiod that is gone back from what would make two of them write for the same Gateways. Going back needs
// nothing of the target, so it goes on when that fails.
func (r *Reconciler) restrict(ctx context.Context, s *scope, rev *meshv1alpha1.Revision) {
	c, err := controlplane.Restriction(r.Charts, &s.member.Spec, rev)
	if err == nil && len(c.Objects) > 0 {
		err = r.apply(ctx, s, c)
	}
	if err != nil {
		log.FromContext(ctx).Info("Going back although the target cannot be restricted", "revision", rev.Name, "reason", err.Error())
	}
}

func renderFailed(err error) phase.Result {
	if errors.Is(err, charts.ErrNoChart) {
		return outcome.Failed(err)
	}
	return phase.Stall(meshv1alpha1.ReasonInvalidValues, err)
}

// serve waits until every istiod in use is rolled out and armed, then points the tags at them. One that is only being
// tried does not hold up the member. Precondition: install.
func (r *Reconciler) serve(ctx context.Context, s *scope) phase.Result {
	spec := &s.member.Spec
	observed := map[string]controlplane.State{}
	var revisions []meshv1alpha1.RevisionStatus
	for _, rev := range spec.Revisions {
		st, err := controlplane.Observe(ctx, s.remote, s.namespace(), rev.Name, s.owner())
		if err != nil {
			return outcome.Failed(err)
		}
		observed[rev.Name] = st
		revisions = append(revisions, meshv1alpha1.RevisionStatus{Name: rev.Name, Version: rev.Version, Hash: mesh.RevisionHash(rev), ReadyReplicas: st.ReadyReplicas})
	}
	s.member.Status.Revisions = revisions
	result, mayGoOn := judgeServing(s.member, observed, s.now)
	s.mayGoOn = mayGoOn
	if result.Kind != phase.Done && !s.mayGoOn {
		return result
	}
	moved := r.pointTags(ctx, s)
	if moved.Kind != phase.Done || result.Kind == phase.Done {
		s.mayGoOn = s.mayGoOn && moved.Kind == phase.Done
		result = moved
	}
	if result.Kind == phase.Done && result.Message == "" {
		note, after := retiringNote(s)
		result.Message, result.After = "istiod serves: "+strings.Join(usedRevisions(spec), ", ")+note, after
	}
	return result
}

// judgeServing judges what was observed of each revision. Every istiod in use must be rolled out and armed. Rollback cannot wait for room
// that the target has taken: mayGoOn is true when one pod of each serves, so that tags may move before the others are ready.
func judgeServing(m *meshv1alpha1.MeshMember, observed map[string]controlplane.State, now time.Time) (result phase.Result, mayGoOn bool) {
	result, mayGoOn = phase.Complete(meshv1alpha1.ReasonReady, ""), isGoingBack(m)
	for _, name := range usedRevisions(&m.Spec) {
		st := observed[name]
		mayGoOn = mayGoOn && st.Armed
		if !st.Complete || !st.Armed {
			result = phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, st.Message, outcome.ShortWait).
				Overdue(st.Created, now, istiodDeadline, meshv1alpha1.ReasonDeadlineExceeded)
		}
	}
	return result, mayGoOn
}

// usedRevisions are the ordered revisions that a tag, the gateway or namespaces use.
func usedRevisions(spec *meshv1alpha1.MeshMemberSpec) []string {
	used := mesh.RevisionsInUse(spec)
	var names []string
	for _, rev := range spec.Revisions {
		if used[rev.Name] {
			names = append(names, rev.Name)
		}
	}
	return names
}

// pointTags points the tags at their revisions, which serve.
func (r *Reconciler) pointTags(ctx context.Context, s *scope) phase.Result {
	spec, result := &s.member.Spec, phase.Complete(meshv1alpha1.ReasonReady, "")
	keeper, err := r.keeper(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	if isTooEarly(s, keeper) {
		result.After, result.Message = outcome.ShortWait, "the tags are about to move"
		return result
	}
	if err := r.keepTags(ctx, s); err != nil {
		return outcome.Failed(err)
	}
	tags, err := controlplane.TagObjects(r.Charts, s.withKeptTags(), keeper)
	if err != nil {
		return renderFailed(err)
	}
	s.state.tags.applied = nil
	if err := r.apply(ctx, s, tags); err != nil {
		return outcome.Failed(err)
	}
	s.state.tags.remember(s.tags())
	armed, err := controlplane.Observe(ctx, s.remote, s.namespace(), spec.DefaultRevision, s.owner())
	if err != nil {
		return outcome.Failed(err)
	}
	if !armed.Armed {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, armed.Message, outcome.ShortWait).
			Overdue(armed.Created, s.now, istiodDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	return result
}

// rootInForce reads back the root that istiod hands to workloads: a Secret that was applied is not yet a root in
// force, because istiod reads it once and may have refused it.
func (r *Reconciler) rootInForce(ctx context.Context, s *scope) phase.Result {
	secret := &corev1.Secret{}
	if err := s.remote.Get(ctx, client.ObjectKey{Namespace: s.namespace(), Name: cacertsName}, secret); err != nil {
		return outcome.Failed(err)
	}
	want, err := trust.Fingerprints(secret.Data["root-cert.pem"])
	if err != nil {
		return outcome.Failed(fmt.Errorf("root in Secret %q: %w", cacertsName, err))
	}
	cm := &corev1.ConfigMap{}
	err = s.remote.Get(ctx, client.ObjectKey{Namespace: s.namespace(), Name: rootConfigMap}, cm)
	if client.IgnoreNotFound(err) != nil {
		return outcome.Failed(err)
	}
	waiting := phase.Waiting(meshv1alpha1.ReasonRootNotInForce, "istiod has not published its root yet", outcome.ShortWait)
	if err != nil {
		return waiting.Overdue(secret.CreationTimestamp.Time, s.now, rootDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	have, err := trust.Fingerprints([]byte(cm.Data["root-cert.pem"]))
	if err != nil {
		return outcome.Failed(fmt.Errorf("root in ConfigMap %q: %w", rootConfigMap, err))
	}
	s.member.Status.Trust.RootFingerprints = have
	if !slices.Equal(have, want) {
		waiting.Message = fmt.Sprintf("istiod hands out root %s, the mesh has %s; if this lasts, restart istiod in namespace %s",
			trust.Short(have), trust.Short(want), s.namespace())
		return waiting.Overdue(secret.CreationTimestamp.Time, s.now, rootDeadline, meshv1alpha1.ReasonRootNotInForce)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "istiod hands out root "+trust.Short(have))
}
