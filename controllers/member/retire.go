package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

// silence says what follows when those do not answer who could tell of users: they may be stopping, or soon be known to be
// down. A person is asked about it as about a gate that cannot tell.
func silence(st *meshv1alpha1.MemberRolloutStatus, now time.Time) meshv1alpha1.StageState {
	if st.State != meshv1alpha1.StageInconclusive && now.Sub(st.Since.Time) < gate.InconclusiveAfter {
		return meshv1alpha1.StageProgressing
	}
	return meshv1alpha1.StageInconclusive
}

// users are those who use a revision.
type users struct {
	// staying are pods with its proxy, and proxies that are connected to its istiod.
	staying []string
	// leaving are pods with its proxy that are being deleted.
	leaving []string
	// silent are those who could tell of others and do not: istiod pods of the revision, and peers.
	silent []string
}

func (u *users) isNobody() bool { return len(u.staying)+len(u.leaving)+len(u.silent) == 0 }

// add adds the users of a member.
func (u *users) add(member string, others users) {
	for _, name := range others.staying {
		u.staying = append(u.staying, name+" of member "+member)
	}
	for _, name := range others.leaving {
		u.leaving = append(u.leaving, name+" of member "+member)
	}
}

// usersOf asks who uses a revision, once in a pass. Gateways of the operator are among them. What names the revision and has no
// pods is read when nothing else uses it, and peers are asked last.
func (r *Reconciler) usersOf(ctx context.Context, s *scope, revision string) (users, error) {
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
		if p := &pods.Items[i]; injectedBy(p) == revision {
			injected[p.Name+"."+p.Namespace] = true
			u.note(p)
		}
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; isIstiod(p, s.namespace(), revision) {
			r.connectedTo(ctx, s, p, injected, &u)
		}
	}
	if u.isNobody() {
		s.addNames(ctx, revision, &u)
	}
	if u.isNobody() {
		if err := r.usersInPeers(ctx, s, revision, &u); err != nil {
			return users{}, err
		}
	}
	slices.Sort(u.staying)
	slices.Sort(u.leaving)
	slices.Sort(u.silent)
	u.staying = slices.Compact(u.staying)
	if s.users == nil {
		s.users = map[string]users{}
	}
	s.users[revision] = u
	return u, nil
}

// note adds a pod with a proxy of the revision.
func (u *users) note(p *corev1.Pod) {
	if name := p.Namespace + "/" + p.Name; p.DeletionTimestamp != nil {
		u.leaving = append(u.leaving, name)
	} else {
		u.staying = append(u.staying, name)
	}
}

// injectedBy is the revision of a pod's proxy, or empty if it has none that runs or may run.
func injectedBy(p *corev1.Pod) string {
	if !hasProxy(p) || hasFinished(p) {
		return ""
	}
	return p.Annotations["istio.io/rev"]
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

// connectedTo adds the proxies that an istiod pod has besides those of the pods that are known to be injected. If it does
// not answer, nobody knows, and the revision stays.
func (r *Reconciler) connectedTo(ctx context.Context, s *scope, istiod *corev1.Pod, injected map[string]bool, u *users) {
	proxies, err := r.askProxies(ctx, s.state.connection.Config, istiod)
	if err != nil {
		log.FromContext(ctx).V(1).Info("Keeping a revision whose istiod does not say who is connected", "pod", istiod.Name, "reason", err.Error())
		u.silent = append(u.silent, "istiod pod "+istiod.Name)
	}
	for _, p := range proxies {
		if !injected[p.ID] {
			u.staying = append(u.staying, fmt.Sprintf("proxy %s of cluster %q", p.ID, p.Cluster))
		}
	}
}
