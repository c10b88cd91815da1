package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/preflight"
)

const (
	// retireSlowest is how often it is asked at least who uses a revision that shall go.
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
	return min(max(gatePace, waited/10), retireSlowest)
}

// retireRevisions deletes the revisions that the work order no longer names, with or without an upgrade, once nothing uses
// them: without its istiod a proxy could not renew its certificate. A proxy that is connected counts, wherever it runs. So
// does one of a peer that has no istiod for it, see orphansOf. What stays is in the status.
func (r *Reconciler) retireRevisions(ctx context.Context, s *scope, wanted map[string]bool) error {
	present, err := s.state.applier.Components(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var retiring []meshv1alpha1.RetiringRevision
	known := map[string]retirement{}
	for _, c := range present {
		revision, ok := strings.CutPrefix(c, controlplane.RevisionPrefix)
		if !ok || wanted[c] {
			continue
		}
		entry := retiringRevision(s, revision)
		kept, gone, err := r.retireRevision(ctx, s, &entry)
		if errs = append(errs, err); !gone {
			known[revision] = kept
			retiring = append(retiring, entry)
		}
	}
	slices.SortFunc(retiring, func(a, b meshv1alpha1.RetiringRevision) int {
		return cmp.Or(a.Since.Compare(b.Since.Time), cmp.Compare(a.Name, b.Name))
	})
	s.state.retiring, s.member.Status.Retiring = known, retiring[:min(len(retiring), maxRetiring)]
	return errors.Join(errs...)
}

// retireRevision asks who uses a revision, if it is time to, and deletes it if nothing does.
func (r *Reconciler) retireRevision(ctx context.Context, s *scope, entry *meshv1alpha1.RetiringRevision) (kept retirement, gone bool, err error) {
	kept = s.state.retiring[entry.Name]
	if s.now.Sub(kept.asked) >= retirePace(s.now.Sub(entry.Since.Time)) {
		u, err := r.usersOf(ctx, s, entry.Name)
		if err == nil && u.isNobody() {
			// Tags that were not moved yet keep it, too: pods are being given its proxy.
			u.staying, err = tagsAt(ctx, s, entry.Name)
		}
		if err != nil {
			return kept, false, err
		}
		kept = retirement{users: u, asked: s.now}
	}
	entry.Users = preflight.SampleOf(slices.Concat(kept.users.staying, kept.users.leaving, kept.users.silent))
	if !kept.users.isNobody() {
		return kept, false, nil
	}
	gone, err = s.state.applier.Delete(ctx, controlplane.RevisionPrefix+entry.Name)
	return kept, gone, err
}

// retiringRevision is the status of a revision that the work order no longer names: as it was, or what was last reported
// while it was wanted.
func retiringRevision(s *scope, name string) meshv1alpha1.RetiringRevision {
	for _, r := range s.member.Status.Retiring {
		if r.Name == name {
			return r
		}
	}
	out := meshv1alpha1.RetiringRevision{Name: name, Since: metav1.NewTime(s.now.Truncate(time.Second))}
	for _, r := range s.member.Status.Revisions {
		if r.Name == name {
			out.Version, out.Hash = r.Version, r.Hash
		}
	}
	return out
}

// retiringNames are the revisions that are installed although the work order does not name them.
func retiringNames(s *scope) (names []string) {
	for _, r := range s.member.Status.Retiring {
		names = append(names, r.Name)
	}
	return names
}

// retired says how far the removal of a revision is in the stage that is ordered. Nothing waits for it but its own member.
func retired(s *scope, revision string) (meshv1alpha1.StageState, string) {
	kept, isThere := s.state.retiring[revision]
	u := kept.users
	switch {
	case !isThere:
		return meshv1alpha1.StageDone, "revision " + revision + " is removed"
	case len(u.staying) > 0:
		return meshv1alpha1.StageInconclusive, "revision " + revision + " stays, it is used by " + mesh.List(u.staying, len(u.staying))
	case len(u.leaving) > 0:
		return meshv1alpha1.StageProgressing, "revision " + revision + " is used until these have stopped: " + mesh.List(u.leaving, len(u.leaving))
	case len(u.silent) > 0:
		return silence(s.member.Status.Rollout, s.now), "revision " + revision + " stays, these do not say who uses it: " + mesh.List(u.silent, len(u.silent))
	}
	return meshv1alpha1.StageProgressing, "removing revision " + revision
}

// retiringNote tells of the revisions that stay, and when to ask again. Empty and zero: there are none.
func retiringNote(s *scope) (note string, after time.Duration) {
	const shown = 3
	retiring := s.member.Status.Retiring
	var notes []string
	for i, r := range retiring {
		if pace := retirePace(s.now.Sub(r.Since.Time)); after == 0 || pace < after {
			after = pace
		}
		switch {
		case i >= shown:
		case r.Users.Count == 0:
			notes = append(notes, "removing "+r.Name)
		default:
			notes = append(notes, fmt.Sprintf("retiring %s, used by %s", r.Name, mesh.List(r.Users.Names[:min(len(r.Users.Names), mesh.NamesShown)], int(r.Users.Count))))
		}
	}
	if more := len(retiring) - shown; more > 0 {
		notes = append(notes, fmt.Sprintf("%d more", more))
	}
	if len(notes) == 0 {
		return "", 0
	}
	return "; " + strings.Join(notes, "; "), after
}
