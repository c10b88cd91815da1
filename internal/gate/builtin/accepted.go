package builtin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// configAcceptedName is the gate's name in the API.
const configAcceptedName = "ConfigAccepted"

const (
	// rejectionPatience is how long a rejection may stand that cannot be compared with the former revision: configuration of
	// users may be wrong for a moment.
	rejectionPatience = 2 * time.Minute
	// formerPace is how often the former revision is asked while nothing is rejected.
	formerPace = 30 * time.Second
	// errorsLast is how long errors must go on to count, and errorsCalm how long there are none when they have ended.
	errorsLast, errorsCalm = 15 * time.Second, 30 * time.Second
)

// configAccepted passes when no proxy rejects configuration now that proxies of the former revision accept, and istiod does not go on
// to count errors while sending, or internal errors. What has been cured does not count.
func configAccepted(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	proxies, err := askAll(ctx, m, m.To, istiod.Proxies)
	if err != nil {
		return gate.Answer{}, err
	}
	metrics, err := askAll(ctx, m, m.To, istiod.Metrics)
	if err != nil {
		return gate.Answer{}, err
	}
	look := acceptedLook{proxies: proxies, metrics: metrics}
	if m.From != "" {
		look.formerProxies = func() (map[string][]istiod.Proxy, error) { return askAll(ctx, m, m.From, istiod.Proxies) }
		look.formerMetrics = func() (map[string]map[string][]istiod.Sample, error) { return askAll(ctx, m, m.From, istiod.Metrics) }
	}
	return judgeAccepted(m, look)
}

// acceptedLook is what the istiod pods of the revision report, and how those of the former one are asked: nil if there is none.
type acceptedLook struct {
	proxies       map[string][]istiod.Proxy
	metrics       map[string]map[string][]istiod.Sample
	formerProxies func() (map[string][]istiod.Proxy, error)
	formerMetrics func() (map[string]map[string][]istiod.Sample, error)
}

// acceptedSeen is what the next look is compared with.
type acceptedSeen struct {
	// since is when a rejection was first seen.
	since map[string]time.Time
	// errors are the counters of the revision.
	errors counters
	// began and last are when errors were first and last counted, zero if there are none. Base are the counters before, and former
	// those of the former revision when errors began.
	began, last  time.Time
	base, former counters
}

// judgement collects what is found. Bad fails, unclear cannot be judged, waiting takes time, unconfirmed needs another look, and known is
// no fault of the revision. Note is what could not be compared, although nothing needed it.
type judgement struct {
	bad, unclear, waiting, unconfirmed, known []string
	note                                      string
}

func judgeAccepted(m *gate.Subject, look acceptedLook) (gate.Answer, error) {
	if len(look.proxies) == 0 || len(look.metrics) == 0 {
		return gate.NoIstiod(m.To), nil
	}
	before := gate.Recall[acceptedSeen](m, configAcceptedName)
	seen := acceptedSeen{since: map[string]time.Time{}, errors: errorsIn(look.metrics)}
	if before != nil {
		seen.began, seen.last, seen.base, seen.former = before.began, before.last, before.base, before.former
	}
	var j judgement
	if err := j.rejections(m, look, before, &seen); err != nil {
		return gate.Answer{}, err
	}
	if err := j.errors(m, look, before, &seen); err != nil {
		return gate.Answer{}, err
	}
	gate.Note(m, configAcceptedName, &seen)
	for pod, metrics := range look.metrics {
		if len(metrics["istio_build"]) == 0 && len(metrics["pilot_xds"]) == 0 {
			// Counters that do not exist mean zero only where istiod's metrics are.
			j.unclear = append(j.unclear, "istiod pod "+pod+" has no metrics of istiod")
		}
	}
	return j.answer(m, len(look.proxies)), nil
}

func (j *judgement) answer(m *gate.Subject, pods int) gate.Answer {
	count := float64(len(j.bad))
	switch {
	case len(j.bad) > 0:
		return gate.Fail("%s", mesh.Capped(j.bad)).Measured(count, gate.NoneAllowed)
	case len(j.unclear) > 0:
		return gate.Inconclusive("%s", mesh.Capped(j.unclear))
	case len(j.waiting) > 0:
		return gate.Pending("%s; looks again", mesh.Capped(j.waiting))
	case len(j.unconfirmed) > 0:
		return m.Unconfirmed(configAcceptedName, "%s; looks again", mesh.Capped(j.unconfirmed))
	case len(j.known) > 0:
		return gate.Pass("no new rejections in %s; revision %s has these as well: %s%s", gate.Count(pods, "istiod pod"), m.From, mesh.Capped(j.known), j.note).
			Measured(0, gate.NoneAllowed)
	}
	return gate.Pass("no rejections in %s%s", gate.Count(pods, "istiod pod"), j.note).Measured(0, gate.NoneAllowed)
}

// rejections compares what proxies reject now with what proxies of the former revision in the same namespace do, or did before
// they were moved.
func (j *judgement) rejections(m *gate.Subject, look acceptedLook, before, seen *acceptedSeen) error {
	rejected, _ := rejectionsIn(look.proxies)
	known := gate.Kept[formerRejections](m, configAcceptedName)
	if known == nil {
		known = &formerRejections{}
	}
	if look.formerProxies != nil && (len(rejected) > 0 || m.Now.Sub(known.asked) >= formerPace) {
		answers, err := look.formerProxies()
		switch {
		case err == nil:
			known.note(answers, m.Now)
			gate.Keep(m, configAcceptedName, known)
		case len(rejected) > 0:
			return fmt.Errorf("compare rejections with revision %s: %w", m.From, err)
		default:
			j.note = fmt.Sprintf("; could not list the proxies of revision %s to compare with: %s", m.From, err)
		}
	}
	for _, r := range rejected {
		seen.since[r.key()] = m.Now
		if before != nil && !before.since[r.key()].IsZero() {
			seen.since[r.key()] = before.since[r.key()]
		}
		stood, accepted := m.Now.Sub(seen.since[r.key()]), known.acceptedAt[r.place()]
		switch {
		case len(known.rejecting[r.place()]) > 0:
			j.known = append(j.known, r.String())
		case m.From != "" && !accepted.IsZero() && m.Now.Sub(accepted) < rejectionPatience:
			j.bad = append(j.bad, fmt.Sprintf("%s; proxies of revision %s in that namespace accept it", r, m.From))
		case stood < rejectionPatience:
			j.waiting = append(j.waiting, r.String())
		case look.formerMetrics == nil || !accepted.IsZero():
			j.bad = append(j.bad, r.String())
		default:
			if err := j.uncompared(m, look, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// uncompared judges a rejection where no proxy of the former revision was seen, as after a restart of the operator: only its
// counters are left.
func (j *judgement) uncompared(m *gate.Subject, look acceptedLook, r proxyRejection) error {
	metrics, err := look.formerMetrics()
	if err != nil {
		return fmt.Errorf("compare rejections with revision %s: %w", m.From, err)
	}
	switch {
	case len(metrics) == 0:
		j.unclear = append(j.unclear, fmt.Sprintf("%s; no istiod pod of revision %s is ready to compare with", r, m.From))
	case hasCounted(metrics, r.place()):
		j.unclear = append(j.unclear, fmt.Sprintf("%s; revision %s has counted rejections there as well, and has no proxy left to compare with", r, m.From))
	default:
		j.bad = append(j.bad, r.String())
	}
	return nil
}

// errors judges errors that istiod only counts. Those that go on count, unless the former revision counts them as well.
func (j *judgement) errors(m *gate.Subject, look acceptedLook, before, seen *acceptedSeen) error {
	if before == nil {
		for _, what := range slices.Sorted(maps.Keys(seen.errors)) {
			if n := seen.errors.grown(what, nil); n > 0 {
				j.unconfirmed = append(j.unconfirmed, fmt.Sprintf("%s: %.0f since the start of istiod", what, n))
			}
		}
		return nil
	}
	if seen.errors.hasGrown(before.errors) {
		if seen.began.IsZero() {
			seen.began, seen.base = m.Now, before.errors
		}
		seen.last = m.Now
	}
	switch {
	case seen.began.IsZero():
		return nil
	case m.Now.Sub(seen.last) >= errorsCalm:
		seen.began, seen.last, seen.base, seen.former = time.Time{}, time.Time{}, nil, nil
		return nil
	}
	var former counters
	if look.formerMetrics != nil {
		metrics, err := look.formerMetrics()
		if err != nil {
			return fmt.Errorf("compare errors with revision %s: %w", m.From, err)
		}
		if former = errorsIn(metrics); seen.former == nil {
			seen.former = former
		}
	}
	for _, what := range slices.Sorted(maps.Keys(seen.errors)) {
		n := seen.errors.grown(what, seen.base)
		text := fmt.Sprintf("%s: %.0f in %s", what, n, m.Now.Sub(seen.began).Round(time.Second))
		switch {
		case n == 0:
		case former.grown(what, seen.former) > 0:
			j.known = append(j.known, text)
		case seen.last.Sub(seen.began) >= errorsLast:
			j.bad = append(j.bad, text)
		default:
			j.waiting = append(j.waiting, text)
		}
	}
	return nil
}
