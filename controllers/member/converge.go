package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

const (
	claimComponent = "claim"
	claimName      = "meshfleet-member"
)

// step is one phase of a member and the condition that it decides.
type step struct {
	name, condition string
	run             func(context.Context, *scope) phase.Result
	// gate says that later steps make no sense before this one is done.
	gate bool
}

// converge runs the phases of a member in order. A gate that is not done ends the pass; the others report and let the
// rest go on.
func (r *Reconciler) converge(ctx context.Context, s *scope) []status.Outcome {
	steps := []step{
		{"connect", meshv1alpha1.ConditionReachable, r.connect, true},
		{"hubSecrets", "", r.hubSecrets, true},
		{"claim", "", r.claim, true},
		// Before istiod, so that one that starts finds its peers; and it needs nothing that could be in the way of their tokens.
		{"remoteSecrets", "", r.remoteSecrets, false},
		{"foundation", "", r.foundation, true},
		{"reader", "", r.reader, false},
		{"trust", meshv1alpha1.ConditionTrustRootReady, r.cacerts, true},
		{"install", meshv1alpha1.ConditionControlPlanesReady, r.install, true},
		{"serve", meshv1alpha1.ConditionControlPlanesReady, r.serve, true},
		{"verifyPeers", meshv1alpha1.ConditionDiscoveryReady, r.verifyPeers, false},
		{"rootInForce", meshv1alpha1.ConditionTrustRootReady, r.rootInForce, true},
		{"gateway", meshv1alpha1.ConditionGatewaysReady, r.gateway, false},
		{"rollout", "", r.rollout, false},
	}
	acknowledge(s)
	var results []phase.Result
	for _, st := range steps {
		start := time.Now()
		result := st.run(ctx, s)
		results = append(results, result)
		switch st.name {
		case "verifyPeers":
			s.peers = result
		case "gateway":
			s.gateway = result
		}
		metrics.ObservePhase("meshmember", st.name, time.Since(start))
		if st.gate && result.Kind != phase.Done && !s.isPassable(st.name) {
			interrupted(s, st.name, result)
			break
		}
	}
	return conclude(s, steps, results)
}

// isPassable says that later steps make sense although a gate is not done: with a certificate that is there, or with tags that point
// at an istiod that serves.
func (s *scope) isPassable(gate string) bool {
	return gate == "trust" && s.hasCertificate || gate == "serve" && s.mayGoOn
}

// conclude turns the results of the phases that ran, of which there is at least one, into the outcome of each
// condition. The worst phase of a condition decides it, the last of those that are as bad; one that has not run leaves it
// waiting for what came before.
func conclude(s *scope, steps []step, results []phase.Result) []status.Outcome {
	byCondition := map[string]int{}
	var out []status.Outcome
	for i, result := range results {
		// What cannot be reached is not known to be bad.
		o := status.Outcome{Type: steps[i].condition, Result: result, Unknown: result.Reason == meshv1alpha1.ReasonConnectionDown}
		if j, seen := byCondition[o.Type]; seen && o.Type != "" {
			if o.Result.Kind >= out[j].Result.Kind {
				out[j] = o
			}
		} else {
			byCondition[o.Type] = len(out)
			out = append(out, o)
		}
	}
	last := results[len(results)-1]
	for _, st := range steps[len(results):] {
		if i, seen := byCondition[st.condition]; seen && st.condition != "" && out[i].Result.Kind == phase.Done {
			out[i].Result = phase.Waiting(last.Reason, last.Text(), 0)
		}
	}
	out = append(out, unreached(s, steps, byCondition, out[0], last)...)
	return append(append(out, available(s, out[0])), s.aside...)
}

// unreached gives the conditions whose phases did not run: Unknown when the member does not answer, else waiting for
// what came before.
func unreached(s *scope, steps []step, ran map[string]int, connection status.Outcome, last phase.Result) []status.Outcome {
	var out []status.Outcome
	done := map[string]bool{"": true}
	for c := range ran {
		done[c] = true
	}
	down := connection.Result.Kind != phase.Done
	for _, st := range steps {
		if done[st.condition] {
			continue
		}
		done[st.condition] = true
		o := status.Outcome{Type: st.condition, Unknown: down, Result: phase.Waiting(last.Reason, last.Text(), 0)}
		if down && s.member.Status.ClusterUID != "" {
			// What was last seen may still be so; we cannot know.
			o.Result = phase.Waiting(meshv1alpha1.ReasonConnectionDown, "the member cannot be asked: "+last.Text(), 0)
		}
		out = append(out, o)
	}
	return out
}

func available(s *scope, connection status.Outcome) status.Outcome {
	o := status.Outcome{Type: meshv1alpha1.ConditionAvailable, Unknown: connection.Result.Kind != phase.Done}
	o.Result = phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "no control plane serves yet", 0)
	if o.Unknown {
		o.Result = phase.Waiting(connection.Result.Reason, connection.Result.Text(), 0)
		return o
	}
	for _, rev := range s.member.Status.Revisions {
		if rev.ReadyReplicas > 0 {
			o.Result = phase.Complete(meshv1alpha1.ReasonReady, "revision "+rev.Name+" serves")
		}
	}
	return o
}

// claim makes sure that the cluster is this member's and nobody else's, and that it can run the release. It writes the
// namespace and a ConfigMap that says whose the cluster is and which root it belongs to.
func (r *Reconciler) claim(ctx context.Context, s *scope) phase.Result {
	mine, err := r.holdsClaim(ctx, s)
	if !mine {
		// Who holds the claim is the member, however new its MeshMember is.
		if result := r.duplicate(ctx, s); result.Kind != phase.Done {
			return result
		}
	}
	if errors.Is(err, errClaimed) && !r.isFormerHubs(s) {
		s.member.Status.Trust.ClaimedRoot = mesh.NoRoot
	}
	if err != nil {
		return outcome.StalledOr(err, errClaimed, meshv1alpha1.ReasonClusterClaimed)
	}
	root, err := r.holdsRoot(ctx, s, mine)
	if err != nil {
		return outcome.StalledOr(err, errForeignRoot, meshv1alpha1.ReasonForeignRoot)
	}
	if result := takeOver(s, s.claimed[claimOrder]); result.Kind != phase.Done {
		return result
	}
	if !mine {
		if err := r.foreignControlPlane(ctx, s); err != nil {
			return outcome.StalledOr(err, errForeign, meshv1alpha1.ReasonForeignControlPlane)
		}
	}
	for _, rev := range s.member.Spec.Revisions {
		release, ok := istioversion.Lookup(rev.Version)
		if !ok {
			return phase.Stall(meshv1alpha1.ReasonVersionUnsupported, fmt.Errorf("istio %s cannot be installed by this operator; it knows %v", rev.Version, istioversion.Supported()))
		}
		if err := release.CheckKubernetes(s.member.Status.KubernetesVersion); err != nil {
			return outcome.Stalled(meshv1alpha1.ReasonVersionUnsupported, err)
		}
	}
	object, err := r.claimObject(s, root)
	if err != nil {
		return outcome.Failed(err)
	}
	if err := r.namespaceLabelled(ctx, s, s.member.Spec.Network); err != nil {
		return outcome.Failed(err)
	}
	if err := r.apply(ctx, s, apply.Component{Name: claimComponent, Objects: []*unstructured.Unstructured{object}}); err != nil {
		return outcome.Failed(err)
	}
	s.member.Status.Trust.ClaimedRoot = cmp.Or(root, mesh.NoRoot)
	return phase.Complete(meshv1alpha1.ReasonReady, "the cluster belongs to this member")
}

var (
	errClaimed = errors.New("the cluster belongs to another member")
	errForeign = errors.New("the cluster has an istiod that this mesh did not install")
)

// duplicate refuses a cluster that an older MeshMember of this hub already is.
func (r *Reconciler) duplicate(ctx context.Context, s *scope) phase.Result {
	list := &meshv1alpha1.MeshMemberList{}
	if err := r.Client.List(ctx, list); err != nil {
		return outcome.Failed(err)
	}
	for i := range list.Items {
		o := &list.Items[i]
		if o.UID == s.member.UID || o.Status.ClusterUID != s.member.Status.ClusterUID {
			continue
		}
		if o.CreationTimestamp.Before(&s.member.CreationTimestamp) ||
			o.CreationTimestamp.Equal(&s.member.CreationTimestamp) && o.UID < s.member.UID {
			return outcome.Stalled(meshv1alpha1.ReasonClusterClaimed, fmt.Errorf(
				"%w: its clusterRef leads to the cluster of MeshMember %s/%s; correct the kubeconfig", errClaimed, o.Namespace, o.Name))
		}
	}
	return phase.Result{}
}

func (r *Reconciler) holdsClaim(ctx context.Context, s *scope) (bool, error) {
	cm := &corev1.ConfigMap{}
	err := s.remote.Get(ctx, client.ObjectKey{Namespace: s.namespace(), Name: claimName}, cm)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the claim: %w", err)
	}
	s.claimed = cm.Data
	want := r.claimData(s)
	// In one order, so that the message stays the same.
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if v := want[k]; cm.Data[k] != v {
			return false, fmt.Errorf("%w: ConfigMap %s/%s says %s %q, this is %q; remove it there first",
				errClaimed, cm.Namespace, cm.Name, k, cm.Data[k], v)
		}
	}
	return true, nil
}

func (r *Reconciler) claimData(s *scope) map[string]string {
	return map[string]string{
		"hub": r.HubUID, "installation": s.member.Namespace + "/" + s.member.Spec.Installation, "member": s.member.Spec.Cluster,
	}
}

// foreignControlPlane refuses a cluster that already runs Istio: two meshes would fight over webhooks and roots.
func (r *Reconciler) foreignControlPlane(ctx context.Context, s *scope) error {
	list := &appsv1.DeploymentList{}
	if err := s.remote.List(ctx, list, client.MatchingLabels{"app": "istiod"}); err != nil {
		return fmt.Errorf("look for other control planes: %w", err)
	}
	for i := range list.Items {
		d := &list.Items[i]
		if d.Labels[meshv1alpha1.LabelInstallation] != s.owner() {
			return fmt.Errorf("%w: Deployment %s/%s; uninstall it before the cluster joins", errForeign, d.Namespace, d.Name)
		}
	}
	return nil
}

// namespaceLabelled makes the control plane's namespace exist and say which network its cluster's pods are on, before
// istiod reads it. An empty network takes the label off. The namespace itself is never deleted: users keep Istio
// configuration in it.
func (r *Reconciler) namespaceLabelled(ctx context.Context, s *scope, network string) error {
	ns := &corev1.Namespace{}
	err := s.remote.Get(ctx, client.ObjectKey{Name: s.namespace()}, ns)
	switch {
	case apierrors.IsNotFound(err) && network == "":
		return nil
	case apierrors.IsNotFound(err):
		ns.Name, ns.Labels = s.namespace(), map[string]string{charts.NetworkLabel: network}
		return s.remote.Create(ctx, ns)
	case err != nil:
		return fmt.Errorf("read namespace %q: %w", s.namespace(), err)
	case !ns.DeletionTimestamp.IsZero() && network != "":
		return fmt.Errorf("namespace %q is being deleted: %w", ns.Name, apply.ErrTerminating)
	case ns.Labels[charts.NetworkLabel] == network:
		return nil
	}
	before := ns.DeepCopy()
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[charts.NetworkLabel] = network
	if network == "" {
		delete(ns.Labels, charts.NetworkLabel)
	}
	return s.remote.Patch(ctx, ns, client.MergeFrom(before))
}
