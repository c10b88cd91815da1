package rollout

import (
	"fmt"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// observeUnknown finds the members of which nothing is known although they should have done something for as long as their
// wave's progressDeadline. Such a member has not failed: it goes on where it was when it reports again.
func (r *rollout) observeUnknown() {
	for _, p := range r.members {
		p.unknown = ""
		if at := r.silentUntil(p); !at.IsZero() && !r.Now.Before(at) {
			p.unknown = "reported nothing"
			if !p.isReachable {
				p.unknown = "unreachable"
			}
		}
	}
}

// silentUntil is when nothing has been known of a member for too long, if it stays as it is now. Zero: never. One that waits
// for its turn is not asked for anything before.
func (v *view) silentUntil(p *progress) time.Time {
	since := later(later(p.changed, p.orderedAt), v.WatchedSince)
	switch started := v.wave(p.wave.Name).StartedAt; {
	case p.isThere || p.ordered == meshv1alpha1.StageRetire:
		return time.Time{}
	case p.isGoingBack() && !p.isReachable:
		since = p.changed
	case p.isUntouched() && (p.isReachable || started == nil):
		return time.Time{}
	case p.isUntouched():
		since = later(since, started.Time)
	case p.isReachable && (p.report != nil || p.orderedAt.IsZero()):
		return time.Time{}
	}
	return since.Add(p.wave.ProgressDeadline.Duration)
}

// tooManyUnknown says in which waves more members failed or are unknown than may fail, and what to do. Empty: in none.
func (v *view) tooManyUnknown() string {
	var reasons []string
	for i := range v.Upgrade.Spec.Waves {
		w := &v.Upgrade.Spec.Waves[i]
		failed, unknown := v.missing(w)
		if len(unknown) == 0 || failed+len(unknown) <= int(w.MaxFailures) {
			continue
		}
		reason := fmt.Sprintf("wave %q: no report for %s from %d of %d members: %s; ", w.Name, w.ProgressDeadline.Duration,
			len(unknown), len(v.of[w.Name]), mesh.Capped(reasonsOf(unknown)))
		if failed > 0 {
			reason += fmt.Sprintf("%d failed; ", failed)
		}
		reasons = append(reasons, reason+fmt.Sprintf("maxFailures is %d", w.MaxFailures))
	}
	if len(reasons) == 0 {
		return ""
	}
	return mesh.Sentences(reasons, mesh.NamesShown) + v.hubHint() + "; restore the connection, or abort the upgrade"
}

// missing counts the members of a wave that failed, and finds those of which nothing is known.
func (v *view) missing(w *meshv1alpha1.PlannedWave) (failed int, unknown []*progress) {
	for _, p := range v.of[w.Name] {
		switch {
		case p.isFailed:
			failed++
		case !p.isOut() && p.unknown != "":
			unknown = append(unknown, p)
		}
	}
	return failed, unknown
}

func reasonsOf(unknown []*progress) (out []string) {
	for _, p := range unknown {
		out = append(out, p.name+" ("+p.unknown+")")
	}
	return out
}

// unknownMembers names the members of which nothing is known and that have a part in the upgrade.
func (v *view) unknownMembers() []string {
	return v.unknownWhere(func(int, int32) bool { return true })
}

// leftBehind names those of them without which their wave goes on.
func (v *view) leftBehind() []string {
	return v.unknownWhere(func(missing int, allowed int32) bool { return missing <= int(allowed) })
}

func (v *view) unknownWhere(isWanted func(missing int, allowed int32) bool) (out []string) {
	for i := range v.Upgrade.Spec.Waves {
		w := &v.Upgrade.Spec.Waves[i]
		failed, unknown := v.missing(w)
		if !isWanted(failed+len(unknown), w.MaxFailures) {
			continue
		}
		for _, p := range unknown {
			out = append(out, p.name)
		}
	}
	return out
}

// hubHint says that the hub is the likely cause, when most members of the upgrade cannot be reached.
func (v *view) hubHint() string {
	down := 0
	for _, p := range v.members {
		if !p.isReachable {
			down++
		}
	}
	if down < 2 || 2*down <= len(v.members) {
		return ""
	}
	return fmt.Sprintf("; %d of %d members cannot be reached, so the network of the hub is the likely cause", down, len(v.members))
}
