package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

// stuckAfter is how long istiod may read a peer no more before it needs a restart.
const stuckAfter = 45 * time.Second

// reportRestart reports whether istiod needs a restart, and whether the one that was ordered is over.
func (r *Reconciler) reportRestart(s *scope, pods []corev1.Pod, secrets []metav1.PartialObjectMetadata, expected expectedPeers) {
	d := &s.member.Status.Discovery
	stuck := s.stuckPeers(secrets, expected)
	d.RestartNeeded = nil
	switch {
	case len(s.changed) > 0:
		d.RestartNeeded = &meshv1alpha1.RestartNeed{Reason: meshv1alpha1.ReasonRemoteSecretChanged,
			Message: "the API server or the CA of " + mesh.List(s.changed, len(s.changed)) + " has changed"}
	case len(stuck) > 0:
		d.RestartNeeded = &meshv1alpha1.RestartNeed{Reason: meshv1alpha1.ReasonPeerStuck,
			Message: "istiod receives nothing new from " + mesh.List(stuck, len(stuck))}
	}
	if mesh.IsRestarting(s.member) && d.RestartNeeded == nil && haveRestarted(pods, s.member.Spec.IstiodRestart) && !s.awaitsPeers(expected) {
		d.RestartedAt = s.member.Spec.IstiodRestart.OrderedAt.DeepCopy()
	}
}

// restarting is the result of discovery while a restart of istiod is not over, else the result given.
func restarting(s *scope, result phase.Result) phase.Result {
	if !mesh.IsRestarting(s.member) {
		return result
	}
	order := s.member.Spec.IstiodRestart
	return phase.Waiting(meshv1alpha1.ReasonRestartingIstiod, "istiod is being restarted ("+order.Reason+"): "+result.Text(), outcome.ShortWait).
		Overdue(order.OrderedAt.Time, s.now, plan.RestartDeadline, meshv1alpha1.ReasonDeadlineExceeded)
}

// stuckPeers are the peers that istiod does not read although they serve, are reachable, and have a remote secret.
func (s *scope) stuckPeers(secrets []metav1.PartialObjectMetadata, expected expectedPeers) []string {
	if s.state.stuckSince == nil {
		s.state.stuckSince = map[string]time.Time{}
	}
	var stuck []string
	for _, p := range s.member.Status.Discovery.Peers {
		hasSecret := slices.ContainsFunc(secrets, func(o metav1.PartialObjectMetadata) bool { return o.Name == discovery.RemoteSecretName(p.Name) })
		isStuck := p.State == peerClosed || p.State == absent || p.State == peerStale
		if !isStuck || !hasSecret || !expected.serving[p.Name] || !expected.reachable[p.Name] {
			delete(s.state.stuckSince, p.Name)
			continue
		}
		if s.state.stuckSince[p.Name].IsZero() {
			s.state.stuckSince[p.Name] = s.now
		}
		if s.now.Sub(s.state.stuckSince[p.Name]) >= stuckAfter {
			stuck = append(stuck, p.Name+" ("+p.State+")")
		}
	}
	return stuck
}

// awaitsPeers is true while istiod has not synced a peer that serves and is reachable, or a marker that arrived before has not
// arrived since.
func (s *scope) awaitsPeers(expected expectedPeers) bool {
	return slices.ContainsFunc(s.member.Status.Discovery.Peers, func(p meshv1alpha1.PeerStatus) bool {
		if !expected.serving[p.Name] || !expected.reachable[p.Name] {
			return false
		}
		marker, isMarked := expected.markers[p.Name]
		return p.State != mesh.PeerSynced || isMarked && p.Marker != "" && s.state.verified.markers[p.Name] != marker.Address
	})
}

// haveRestarted is true when every pod is of the order.
func haveRestarted(pods []corev1.Pod, order *meshv1alpha1.IstiodRestart) bool {
	return !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return p.Annotations[mesh.RestartAnnotation] != controlplane.RestartedAt(order)
	})
}

// restartRetiring carries an order to restart istiod out in revisions that the work order no longer names and that are still
// used: they read the same remote secrets.
func (r *Reconciler) restartRetiring(ctx context.Context, s *scope) error {
	if !mesh.IsRestarting(s.member) {
		return nil
	}
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("DeploymentList"))
	if err := s.remote.List(ctx, found, client.InNamespace(s.namespace()),
		client.MatchingLabels{"app": "istiod", meshv1alpha1.LabelInstallation: s.owner()}); err != nil {
		return fmt.Errorf("list istiod Deployments: %w", err)
	}
	var errs []error
	for i := range found.Items {
		live := &found.Items[i]
		revision := strings.TrimPrefix(live.GetName(), controlplane.RevisionPrefix)
		if slices.ContainsFunc(s.member.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == revision }) {
			continue
		}
		changed := live.DeepCopy()
		if err := controlplane.PrepareDiscovery(&s.member.Spec, changed); err != nil {
			errs = append(errs, err)
			continue
		}
		if equality.Semantic.DeepEqual(live, changed) {
			continue
		}
		if err := s.remote.Patch(ctx, changed, client.MergeFrom(live)); err != nil {
			errs = append(errs, fmt.Errorf("restart Deployment %q: %w", live.GetName(), err))
		}
	}
	return errors.Join(errs...)
}
