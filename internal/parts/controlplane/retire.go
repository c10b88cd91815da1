package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// Between these two times it is asked again who uses a revision that is to be deleted.
	retireFastest = 2 * time.Second
	retireSlowest = time.Minute
	// maxRetiring is how many revisions the status has at most, as its field says.
	maxRetiring = 32
)

// retirement is what is remembered of a revision that the work order no longer names. Losing it costs a question.
type retirement struct {
	users users
	asked time.Time
}

// retirePace is how often it is asked who uses a revision: the longer it has been used, the less often. The answer costs a
// list of all pods, here and in every peer.
func retirePace(waited time.Duration) time.Duration {
	return min(max(retireFastest, waited/10), retireSlowest)
}

// retire restarts the istiods of revisions that the work order no longer names, if a restart is ordered, and deletes those that nothing
// uses. What it waits for is in the status and holds nothing up.
func (s *Steps) retire(ctx context.Context, pass *member.Pass) phase.Result {
	if err := errors.Join(restartRetiring(ctx, pass), s.retireRevisions(ctx, pass)); err != nil {
		return outcome.Failed(err)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// retireRevisions deletes the revisions that the work order no longer names, with or without an upgrade, once nothing uses
// them: without its istiod a proxy could not renew its certificate. A proxy that is connected counts, wherever it runs. So
// does one of a peer that has no istiod for it, see orphansOf. What stays is in the status.
func (s *Steps) retireRevisions(ctx context.Context, pass *member.Pass) error {
	present, err := pass.Applier().Components(ctx)
	if err != nil {
		return err
	}
	s.Renderings.Forget(pass, present)
	var errs []error
	var retiring []meshv1alpha1.RetiringRevision
	known := map[string]retirement{}
	for _, c := range present {
		revision, ok := strings.CutPrefix(c, RevisionPrefix)
		if !ok || slices.ContainsFunc(pass.Object.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == revision }) {
			continue
		}
		entry := retiringRevision(pass, revision)
		kept, gone, err := s.retireRevision(ctx, pass, &entry)
		if errs = append(errs, err); !gone {
			known[revision] = kept
			retiring = append(retiring, entry)
		}
	}
	slices.SortFunc(retiring, func(a, b meshv1alpha1.RetiringRevision) int {
		return cmp.Or(a.Since.Compare(b.Since.Time), cmp.Compare(a.Name, b.Name))
	})
	s.memory.Of(pass).retiring, pass.Object.Status.Retiring = known, retiring[:min(len(retiring), maxRetiring)]
	return errors.Join(errs...)
}

// retireRevision asks who uses a revision, if it is time to, and deletes it if nothing does.
func (s *Steps) retireRevision(ctx context.Context, pass *member.Pass, entry *meshv1alpha1.RetiringRevision) (kept retirement, gone bool, err error) {
	kept = s.memory.Of(pass).retiring[entry.Name]
	if pass.Now.Sub(kept.asked) >= retirePace(pass.Now.Sub(entry.Since.Time)) {
		u, err := s.usersOf(ctx, pass, entry.Name)
		if err == nil && u.isNobody() {
			// Tags that were not moved yet keep it, too: pods are being given its proxy.
			u.staying, err = tagsAt(ctx, pass, entry.Name)
		}
		if err != nil {
			return kept, false, err
		}
		kept = retirement{users: u, asked: pass.Now}
	}
	s.memory.Of(pass).noteLost(entry.Name, kept.users.lostNote())
	entry.Users = mesh.SampleOf(slices.Concat(kept.users.staying, kept.users.leaving, kept.users.silent))
	if !kept.users.isNobody() {
		return kept, false, nil
	}
	gone, err = pass.Applier().Delete(ctx, RevisionPrefix+entry.Name)
	return kept, gone, err
}

// retiringRevision is the status of a revision that the work order no longer names: as it was, or what was last reported
// while it was wanted.
func retiringRevision(pass *member.Pass, name string) meshv1alpha1.RetiringRevision {
	for _, r := range pass.Object.Status.Retiring {
		if r.Name == name {
			return r
		}
	}
	out := meshv1alpha1.RetiringRevision{Name: name, Since: metav1.NewTime(pass.Now.Truncate(time.Second))}
	for _, r := range pass.Object.Status.Revisions {
		if r.Name == name {
			out.Version, out.Hash = r.Version, r.Hash
		}
	}
	return out
}

// Retired says how far the removal of a revision is in the stage that is ordered, and which pods did not count. Nothing waits for it but
// its own member.
func (s *Steps) Retired(pass *member.Pass, revision string) (meshv1alpha1.StageState, string) {
	state, message := s.retired(pass, revision)
	return state, message + s.memory.Of(pass).lost[revision]
}

func (s *Steps) retired(pass *member.Pass, revision string) (meshv1alpha1.StageState, string) {
	kept, isThere := s.memory.Of(pass).retiring[revision]
	u := kept.users
	switch {
	case !isThere:
		return meshv1alpha1.StageDone, "revision " + revision + " is removed"
	case len(u.staying) > 0:
		return meshv1alpha1.StageInconclusive, "keeping revision " + revision + ", used by " + mesh.List(u.staying, len(u.staying))
	case len(u.leaving) > 0:
		return meshv1alpha1.StageProgressing, "keeping revision " + revision + " until these have stopped: " + mesh.List(u.leaving, len(u.leaving))
	case len(u.silent) > 0:
		return silence(pass.Object.Status.Rollout, pass.Now), "keeping revision " + revision + ": could not list its users on " + mesh.List(u.silent, len(u.silent))
	}
	return meshv1alpha1.StageProgressing, "removing revision " + revision
}

// retiringNote tells of the revisions that stay, and when to ask again. Empty and zero: there are none.
func retiringNote(m *meshv1alpha1.MeshMember, now time.Time) (note string, after time.Duration) {
	const shown = 3
	retiring := m.Status.Retiring
	var notes []string
	for _, r := range retiring {
		if pace := retirePace(now.Sub(r.Since.Time)); after == 0 || pace < after {
			after = pace
		}
		if r.Users.Count == 0 {
			notes = append(notes, "removing "+r.Name)
		} else {
			notes = append(notes, fmt.Sprintf("retiring %s, used by %s", r.Name, mesh.List(r.Users.Names[:min(len(r.Users.Names), mesh.NamesShown)], int(r.Users.Count))))
		}
	}
	if len(notes) == 0 {
		return "", 0
	}
	return "; " + mesh.Sentences(notes, shown), after
}

// silence says what follows when those do not answer who could tell of users: they may be stopping, or soon be known to be
// down. A person is asked about it as about a gate that cannot tell.
func silence(st *meshv1alpha1.MemberRolloutStatus, now time.Time) meshv1alpha1.StageState {
	if st.State != meshv1alpha1.StageInconclusive && now.Sub(st.Since.Time) < gate.InconclusiveAfter {
		return meshv1alpha1.StageProgressing
	}
	return meshv1alpha1.StageInconclusive
}

// restartRetiring carries an order to restart istiod out in revisions that the work order no longer names and that are still
// used: they read the same remote secrets.
func restartRetiring(ctx context.Context, pass *member.Pass) error {
	if !mesh.IsRestarting(pass.Object) {
		return nil
	}
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("DeploymentList"))
	if err := pass.Remote.List(ctx, found, client.InNamespace(pass.Namespace()),
		client.MatchingLabels{"app": "istiod", meshv1alpha1.LabelInstallation: pass.Owner()}); err != nil {
		return fmt.Errorf("list istiod Deployments: %w", err)
	}
	var errs []error
	for i := range found.Items {
		live := &found.Items[i]
		revision := strings.TrimPrefix(live.GetName(), RevisionPrefix)
		if slices.ContainsFunc(pass.Object.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == revision }) {
			continue
		}
		changed := live.DeepCopy()
		if err := PrepareDiscovery(&pass.Object.Spec, changed); err != nil {
			errs = append(errs, err)
			continue
		}
		if equality.Semantic.DeepEqual(live, changed) {
			continue
		}
		if err := pass.Remote.Patch(ctx, changed, client.MergeFrom(live)); err != nil {
			errs = append(errs, fmt.Errorf("restart Deployment %q: %w", live.GetName(), err))
		}
	}
	return errors.Join(errs...)
}
