package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// users are those who use a revision.
type users struct {
	// staying are pods with its proxy, and proxies that are connected to its istiod.
	staying []string
	// leaving are pods with its proxy that are being deleted.
	leaving []string
	// silent are those who could tell of others and do not: istiod pods of the revision, and peers.
	silent []string
	// lost are pods with its proxy that do not count, see istio.IsLost.
	lost []string
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
	for _, name := range others.lost {
		u.lost = append(u.lost, name+" of member "+member)
	}
}

// note adds a pod with a proxy of the revision.
func (u *users) note(p *corev1.Pod, now time.Time) {
	switch name := p.Namespace + "/" + p.Name; {
	case istio.IsLost(p, now):
		u.lost = append(u.lost, istio.LostName(p.Namespace, p.Name, p.Spec.NodeName))
	case p.DeletionTimestamp != nil:
		u.leaving = append(u.leaving, name)
	default:
		u.staying = append(u.staying, name)
	}
}

// lostNote says which pods do not count. Empty: none.
func (u *users) lostNote() string {
	if len(u.lost) == 0 {
		return ""
	}
	return "; " + istio.LostPods(mesh.Capped(u.lost))
}

// usersOf asks who uses a revision. Gateways of the operator are among them. What names the revision and has no
// pods is read when nothing else uses it, and peers are asked last.
func (s *Steps) usersOf(ctx context.Context, pass *member.Pass, revision string) (users, error) {
	pods, err := pass.World.Pods(ctx)
	if err != nil {
		return users{}, err
	}
	var u users
	injected := map[string]bool{}
	for i := range pods {
		if p := &pods[i]; istio.ProxyRevision(p) == revision {
			// A lost pod that is connected does run.
			injected[istio.ProxyID(p)] = !istio.IsLost(p, pass.Now)
			u.note(p, pass.Now)
		}
	}
	for i := range pods {
		if p := &pods[i]; istio.IsIstiod(p, pass.Namespace()) && p.Labels[istio.RevisionLabel] == revision && istio.AcceptsProxies(p, pass.Now) {
			s.connectedTo(ctx, pass, p, injected, &u)
		}
	}
	if u.isNobody() {
		addNames(ctx, pass, revision, &u)
	}
	if u.isNobody() {
		if err := s.usersInPeers(ctx, pass, revision, &u); err != nil {
			return users{}, err
		}
	}
	slices.Sort(u.staying)
	slices.Sort(u.leaving)
	slices.Sort(u.silent)
	slices.Sort(u.lost)
	u.staying = slices.Compact(u.staying)
	return u, nil
}

// connectedTo adds the proxies that an istiod pod has besides those of the pods that are known to be injected. If it does
// not answer, nobody knows, and the revision stays.
func (s *Steps) connectedTo(ctx context.Context, pass *member.Pass, istiod *corev1.Pod, injected map[string]bool, u *users) {
	proxies, err := member.Proxies(ctx, s.Istiod, pass.Config(), istiod)
	if err != nil {
		log.FromContext(ctx).V(1).Info("Keeping a revision whose istiod does not report its proxies", "pod", istiod.Name, "reason", err.Error())
		u.silent = append(u.silent, "istiod pod "+istiod.Name)
	}
	for _, p := range proxies {
		if !injected[p.ID] {
			u.staying = append(u.staying, fmt.Sprintf("proxy %s of cluster %q", p.ID, p.Cluster))
		}
	}
}

// addNames adds what names a revision by the label istio.io/rev: pods that it makes later would get no proxy.
func addNames(ctx context.Context, pass *member.Pass, revision string, u *users) {
	names, err := pass.World.Names(ctx)
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

// Proxies are the pods with a proxy of the mesh in the member, and other proxies that its istiods serve, sorted. The
// operator's own gateways are not among them. The note says which pods do not count.
func (s *Steps) Proxies(ctx context.Context, pass *member.Pass) (found []string, note string, err error) {
	var u users
	known := map[string]bool{}
	pods, err := pass.Look().Pods(ctx)
	if err != nil {
		return nil, "", err
	}
	for i := range pods {
		p := &pods[i]
		if !istio.HasProxy(p) || istio.HasFinished(p) {
			continue
		}
		own := isOwnGateway(p, pass.Namespace())
		known[istio.ProxyID(p)] = own || !istio.IsLost(p, pass.Now)
		if !own {
			u.note(p, pass.Now)
		}
	}
	for i := range pods {
		// One that does not answer keeps nothing: its pods are counted.
		if p := &pods[i]; istio.IsIstiod(p, pass.Namespace()) && istio.AcceptsProxies(p, pass.Now) {
			s.connectedTo(ctx, pass, p, known, &u)
		}
	}
	found = slices.Concat(u.staying, u.leaving)
	slices.Sort(found)
	return slices.Compact(found), u.lostNote(), nil
}

// CountPods counts the pods with a proxy of the mesh in the member, page by page, without asking istiod. Neither the operator's own gateways
// nor pods that are lost are among them.
func CountPods(ctx context.Context, pass *member.Pass) (int32, error) {
	var n int32
	list := &corev1.PodList{}
	if err := member.Pages(ctx, pass.Remote, list, func() error {
		for i := range list.Items {
			p := &list.Items[i]
			if istio.HasProxy(p) && !istio.HasFinished(p) && !istio.IsLost(p, pass.Now) && !isOwnGateway(p, pass.Namespace()) {
				n++
			}
		}
		return nil
	}); err != nil {
		return 0, fmt.Errorf("list pods: %w", err)
	}
	return n, nil
}

// isOwnGateway says that a pod is of an east-west gateway that the operator made.
func isOwnGateway(p *corev1.Pod, namespace string) bool {
	return p.Namespace == namespace && p.Labels["istio"] == mesh.GatewayLabel && strings.HasPrefix(p.Labels["app"], mesh.GatewayName(mesh.PinnedGateway))
}
