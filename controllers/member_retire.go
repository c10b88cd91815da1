package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/controlplane"
)

// retireRevisions deletes the revisions that the work order no longer names, once nobody uses them: without its istiod a
// proxy could not renew its certificate. Every member is a primary of its own, so nobody but proxies of its own cluster
// gets anything from its istiod, and what it says now of who is connected is all that there is to be asked. Peers' istiod
// reads the member's API server, not its istiod. A proxy that is connected all the same counts, wherever it runs.
func (r *MeshMemberReconciler) retireRevisions(ctx context.Context, s *scope, wanted map[string]bool) error {
	present, err := s.state.applier.Components(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range present {
		revision, ok := strings.CutPrefix(c, controlplane.RevisionPrefix)
		if !ok || wanted[c] {
			continue
		}
		users, err := r.usersOf(ctx, s, revision)
		if err == nil && users.isNobody() {
			_, err = s.state.applier.Delete(ctx, c)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// retired says whether a revision is gone. It stays as long as a proxy of it runs.
func (r *MeshMemberReconciler) retired(ctx context.Context, s *scope, revision string) (meshv1alpha1.StageState, string, error) {
	components, err := s.state.applier.Components(ctx)
	if err != nil {
		return "", "", err
	}
	if !slices.Contains(components, controlplane.RevisionPrefix+revision) {
		return meshv1alpha1.StageDone, "revision " + revision + " is removed", nil
	}
	users, err := r.usersOf(ctx, s, revision)
	if err != nil {
		return "", "", err
	}
	switch {
	case len(users.staying) > 0:
		return meshv1alpha1.StageInconclusive, "revision " + revision + " stays, it is used by " + list(users.staying, len(users.staying)), nil
	case len(users.leaving) > 0:
		return meshv1alpha1.StageProgressing, "revision " + revision + " is used until these have stopped: " + list(users.leaving, len(users.leaving)), nil
	}
	return meshv1alpha1.StageProgressing, "removing revision " + revision, nil
}

// users are those who use a revision.
type users struct {
	// staying are pods with its proxy, proxies that are connected to its istiod, and istiod pods that do not say who is.
	staying []string
	// leaving are pods with its proxy that are being deleted.
	leaving []string
}

func (u users) isNobody() bool { return len(u.staying)+len(u.leaving) == 0 }

// usersOf asks who uses a revision, once in a pass. Gateways of the operator are among them.
func (r *MeshMemberReconciler) usersOf(ctx context.Context, s *scope, revision string) (users, error) {
	if u, isKnown := s.users[revision]; isKnown {
		return u, nil
	}
	pods := &corev1.PodList{}
	if err := s.remote.List(ctx, pods); err != nil {
		return users{}, fmt.Errorf("list pods: %w", err)
	}
	var u users
	injected := map[string]bool{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Annotations["istio.io/rev"] != revision || !hasProxy(p) || hasFinished(p) {
			continue
		}
		injected[p.Name+"."+p.Namespace] = true
		if p.DeletionTimestamp != nil {
			u.leaving = append(u.leaving, p.Namespace+"/"+p.Name)
		} else {
			u.staying = append(u.staying, p.Namespace+"/"+p.Name)
		}
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; isIstiod(p, s.namespace(), revision) {
			u.staying = append(u.staying, r.connectedTo(ctx, s, p, injected)...)
		}
	}
	slices.Sort(u.staying)
	slices.Sort(u.leaving)
	u.staying = slices.Compact(u.staying)
	if s.users == nil {
		s.users = map[string]users{}
	}
	s.users[revision] = u
	return u, nil
}

// isIstiod says whether a pod is an istiod of a revision to which proxies may be connected: not if its process does not run.
func isIstiod(p *corev1.Pod, namespace, revision string) bool {
	if p.Namespace != namespace || p.Labels["app"] != "istiod" || p.Labels["istio.io/rev"] != revision || hasFinished(p) {
		return false
	}
	states := p.Status.ContainerStatuses
	return len(states) == 0 || slices.ContainsFunc(states, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
}

// hasProxy says that a pod was injected, or is of what istiod makes for a Gateway.
func hasProxy(p *corev1.Pod) bool {
	return p.Annotations["sidecar.istio.io/status"] != "" || p.Labels["gateway.istio.io/managed"] != ""
}

func hasFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// connectedTo are the proxies that an istiod pod has besides those of the pods that are known to be injected. If it does
// not answer, nobody knows, and the revision stays.
func (r *MeshMemberReconciler) connectedTo(ctx context.Context, s *scope, istiod *corev1.Pod, injected map[string]bool) []string {
	proxies, err := r.askProxies(ctx, s.state.connection.Config, istiod)
	if err != nil {
		log.FromContext(ctx).V(1).Info("Keeping a revision whose istiod does not say who is connected", "pod", istiod.Name, "reason", err.Error())
		return []string{"nobody knows whom: istiod pod " + istiod.Name + " does not answer"}
	}
	var connected []string
	for _, p := range proxies {
		if !injected[p.ID] {
			connected = append(connected, fmt.Sprintf("proxy %s of cluster %q", p.ID, p.Cluster))
		}
	}
	return connected
}
