package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// recount is the pace at which the proxies of a member that is to leave are counted: no watch tells of users' pods.
const recount = 10 * time.Second

// leave says what keeps a member that is to leave. It goes on to be converged meanwhile: proxies that run there need all of
// it. The outcome comes before the others: it has the cure.
func (r *Reconciler) leave(ctx context.Context, s *scope, outcomes []status.Outcome) []status.Outcome {
	if s.member.Spec.Removal == "" && !s.isAbandoned {
		s.member.Status.Removal = nil
		return outcomes
	}
	if s.remote == nil {
		connection := outcomes[0].Result
		return slices.Insert(outcomes, 0, status.Outcome{Unknown: true, Result: phase.Result{
			Kind: connection.Kind, Reason: meshv1alpha1.ReasonDeleting, Err: errors.New(unanswered(connection)), Message: unanswered(connection), After: outcome.Recheck,
		}})
	}
	result := r.countProxies(ctx, s)
	return slices.Insert(outcomes, 0, status.Outcome{Result: result})
}

// unanswered is what is said of a member that is to leave and cannot be reached.
func unanswered(connection phase.Result) string {
	return "waiting for the member to answer (" + connection.Text() +
		"); to leave what is installed there and go on, set spec.deletionPolicy of the MeshInstallation to Orphan"
}

// countProxies counts the proxies in a member that is to leave. Never done: the removal itself is ordered by the installation.
func (r *Reconciler) countProxies(ctx context.Context, s *scope) phase.Result {
	mine, err := r.holdsClaim(ctx, s)
	if errors.Is(err, errClaimed) || err == nil && !mine {
		s.member.Status.Removal = &meshv1alpha1.MemberRemovalStatus{}
		return phase.Waiting(meshv1alpha1.ReasonDeleting, "nothing of this mesh is in the cluster", outcome.ShortWait)
	}
	if err != nil {
		return outcome.Failed(err)
	}
	found, err := r.proxies(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	s.member.Status.Removal = &meshv1alpha1.MemberRemovalStatus{
		Proxies: int32(len(found)), //nolint:gosec // no cluster has that many pods
		Sample:  found[:min(len(found), mesh.NamesShown)],
	}
	if len(found) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForWorkloads, mesh.KeptBy(s.member), recount)
	}
	return phase.Waiting(meshv1alpha1.ReasonDeleting, "no proxy runs in the member", outcome.ShortWait)
}

// proxies are the pods with a proxy of the mesh in the member, and other proxies that its istiods serve, sorted. The
// operator's own gateways are not among them.
func (r *Reconciler) proxies(ctx context.Context, s *scope) ([]string, error) {
	var u users
	known := map[string]bool{}
	var istiods []*corev1.Pod
	pods := &corev1.PodList{}
	for {
		if err := s.remote.List(ctx, pods, client.Limit(podPage), client.Continue(pods.Continue)); err != nil {
			return nil, fmt.Errorf("list pods: %w", err)
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			if p.Namespace == s.namespace() && p.Labels["app"] == "istiod" && isIstiod(p, s.namespace(), p.Labels["istio.io/rev"]) {
				istiods = append(istiods, p.DeepCopy())
			}
			if !hasProxy(p) || hasFinished(p) {
				continue
			}
			known[p.Name+"."+p.Namespace] = true
			if !isOwnGateway(p, s.namespace()) {
				u.note(p)
			}
		}
		if pods.Continue == "" {
			break
		}
	}
	for _, p := range istiods {
		// One that does not answer keeps nothing: its pods are counted.
		r.connectedTo(ctx, s, p, known, &u)
	}
	found := slices.Concat(u.staying, u.leaving)
	slices.Sort(found)
	return slices.Compact(found), nil
}

// podPage bounds how many pods are in memory at a time.
const podPage = 500

// isOwnGateway says that a pod is of an east-west gateway that the operator made.
func isOwnGateway(p *corev1.Pod, namespace string) bool {
	return p.Namespace == namespace && p.Labels["istio"] == mesh.GatewayLabel && strings.HasPrefix(p.Labels["app"], mesh.GatewayName(mesh.PinnedGateway))
}

// mayGo says that nothing keeps an abandoned member.
func (r *Reconciler) mayGo(s *scope) bool {
	m := s.member
	if s.remote == nil {
		return m.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyOrphan || m.Status.ClusterUID == ""
	}
	return m.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyForce || m.Status.Removal != nil && m.Status.Removal.Proxies == 0
}

// isAbandoned says that a MeshMember is being deleted and its installation is gone: nobody else orders its removal.
func (r *Reconciler) isAbandoned(ctx context.Context, m *meshv1alpha1.MeshMember) (bool, error) {
	if m.DeletionTimestamp.IsZero() || m.Spec.Removal == meshv1alpha1.RemovalNow {
		return false, nil
	}
	inst := &meshv1alpha1.MeshInstallation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.Installation}, inst)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read MeshInstallation %q: %w", m.Spec.Installation, err)
	}
	return err != nil || !metav1.IsControlledBy(m, inst), nil
}
