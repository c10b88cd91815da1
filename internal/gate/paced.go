package gate

import (
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// paced is a gate that is asked at its own pace, and says what it said before in between. Its memory is its last result,
// which is kept in the member's status: an operator that restarts goes on where the former one was.
type paced struct {
	name string
	// wait is how long the last answer holds.
	wait func(last meshv1alpha1.Verdict) time.Duration
	// ask is given the last result, nil at first.
	ask func(ctx context.Context, m *Member, last *meshv1alpha1.GateResult) (Answer, error)
}

func (p paced) Name() string { return p.name }

func (p paced) Ask(ctx context.Context, m Member) Answer {
	if m.now.IsZero() {
		m.now = time.Now()
	}
	last := m.last(p.name)
	if last != nil && last.AskedAt != nil && m.now.Sub(last.AskedAt.Time) < p.wait(last.Verdict) {
		return repeat(last)
	}
	ctx, cancel := context.WithTimeout(ctx, longPatience)
	defer cancel()
	a, err := p.ask(ctx, &m, last)
	if err != nil {
		a = Answer{Verdict: meshv1alpha1.VerdictError, Message: err.Error()}
		if last != nil {
			// What was counted before still counts.
			a.Measurements = last.Measurements
		}
	}
	a.Name, a.Message = p.name, oneLine(a.Message)
	a.AskedAt = &metav1.Time{Time: m.now.Truncate(time.Second)}
	return a
}

// last is what a gate has said before, or nil.
func (m *Member) last(name string) *meshv1alpha1.GateResult {
	i := slices.IndexFunc(m.previous, func(r meshv1alpha1.GateResult) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return m.previous[i].DeepCopy()
}

func repeat(r *meshv1alpha1.GateResult) Answer {
	return Answer{
		Name: r.Name, Verdict: r.Verdict, Message: r.Message, Value: r.Value, Threshold: r.Threshold,
		AskedAt: r.AskedAt, Measurements: r.Measurements,
	}
}

// Remember adds to answers what gates have measured before that were not asked this time.
func Remember(answers, previous []meshv1alpha1.GateResult) []meshv1alpha1.GateResult {
	all := slices.Clone(answers)
	for i := range previous {
		isNew := func(r meshv1alpha1.GateResult) bool { return r.Name == previous[i].Name }
		if previous[i].Measurements != nil && !slices.ContainsFunc(answers, isNew) {
			all = append(all, previous[i])
		}
	}
	slices.SortFunc(all, byName)
	return all
}

// StartOver lets measurements begin again because more workloads are about to move. What was bad counts on. Comparisons
// stand: they are about the same revisions, and will not find both at work again.
func StartOver(results []meshv1alpha1.GateResult, specs []meshv1alpha1.Gate, now time.Time) []meshv1alpha1.GateResult {
	out := slices.Clone(results)
	for i := range out {
		compares := slices.ContainsFunc(specs, func(s meshv1alpha1.Gate) bool {
			return s.Name == out[i].Name && s.Prometheus != nil && s.Prometheus.Compare != ""
		})
		if out[i].Measurements == nil || compares {
			continue
		}
		out[i] = meshv1alpha1.GateResult{
			Name: out[i].Name, DryRun: out[i].DryRun, Verdict: meshv1alpha1.VerdictPending, Message: "more workloads are being moved",
			Measurements: &meshv1alpha1.GateMeasurements{Bad: out[i].Measurements.Bad}, Since: metav1.NewTime(now.Truncate(time.Second)),
		}
	}
	return out
}

func byName(a, b meshv1alpha1.GateResult) int { return strings.Compare(a.Name, b.Name) }

func durationOr(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil || d.Duration <= 0 {
		return otherwise
	}
	return d.Duration
}
