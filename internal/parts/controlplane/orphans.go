package controlplane

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// usersInPeers asks every peer that is reached, now, whether it has proxies that nobody but this member's revision can serve.
// A peer that does not answer keeps the revision: nobody knows. One that is not reached is not asked.
func (s *Steps) usersInPeers(ctx context.Context, pass *member.Pass, revision string, u *users) error {
	siblings, err := pass.Siblings(ctx)
	if err != nil {
		return err
	}
	answers, errs := make([]users, len(siblings)), make([]error, len(siblings))
	var wg sync.WaitGroup
	for i := range siblings {
		if meta.IsStatusConditionTrue(siblings[i].Status.Conditions, meshv1alpha1.ConditionReachable) {
			wg.Go(func() {
				answers[i], errs[i] = s.orphansOf(ctx, client.ObjectKeyFromObject(&siblings[i]), revision, pass.Now)
			})
		}
	}
	wg.Wait()
	for i := range siblings {
		if errs[i] != nil {
			u.silent = append(u.silent, fmt.Sprintf("member %s (%v)", siblings[i].Spec.Cluster, errs[i]))
			continue
		}
		u.add(siblings[i].Spec.Cluster, answers[i])
	}
	return nil
}

// orphansOf asks a member, after the call, for its pods that have a proxy of the revision while it has no istiod of that revision
// itself: if they are served at all, it is by another member. It runs beside the member's passes, as count does.
func (s *Steps) orphansOf(ctx context.Context, key types.NamespacedName, revision string, now time.Time) (users, error) {
	byRevision, err := s.orphans.Get(ctx, key, 0, func(ctx context.Context) (map[string]users, error) {
		connection, err := s.Reach(key)
		if err != nil {
			return nil, err
		}
		return orphans(ctx, connection.Client, now)
	})
	return byRevision[revision], err
}

// orphans are, by revision, the pods whose proxy is of a revision of which their own cluster has no istiod. Pods are read page by page, of
// which one at a time is in memory: many members ask at the same time.
func orphans(ctx context.Context, c client.Reader, now time.Time) (map[string]users, error) {
	byRevision := map[string]users{}
	served := map[string]bool{}
	list := &corev1.PodList{}
	if err := member.Pages(ctx, c, list, func() error {
		for i := range list.Items {
			p := &list.Items[i]
			if p.Labels["app"] == "istiod" && !istio.HasFinished(p) && !istio.IsLost(p, now) {
				served[p.Labels[istio.RevisionLabel]] = true
			}
			if revision := istio.ProxyRevision(p); revision != "" {
				u := byRevision[revision]
				u.note(p, now)
				byRevision[revision] = u
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	for revision := range served {
		delete(byRevision, revision)
	}
	return byRevision, nil
}
