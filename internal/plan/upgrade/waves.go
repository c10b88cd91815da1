package upgrade

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// What holds where the installation says nothing.
const (
	defaultSoak             = 5 * time.Minute
	defaultProgressDeadline = 30 * time.Minute
	defaultConcurrency      = "25%"
)

// Waves puts every member that is not held in exactly one wave, members in the order in which they go. A wave whose selector selects no member
// stays in the plan, empty, so that people see it. Error: some members are in no wave or in several; it names them all.
func Waves(inst *meshv1alpha1.MeshInstallation) ([]meshv1alpha1.PlannedWave, error) {
	members := slices.SortedFunc(slices.Values(inst.Spec.Members), func(a, b meshv1alpha1.Member) int {
		return cmp.Compare(a.Name, b.Name)
	})
	members = slices.DeleteFunc(members, func(m meshv1alpha1.Member) bool { return m.Hold != nil })
	if len(inst.Spec.Upgrade.Waves) == 0 {
		return defaultWaves(members), nil
	}
	labels := map[string]map[string]string{}
	for i := range members {
		labels[members[i].Name] = members[i].Labels
	}
	selected, err := selectMembers(inst.Spec.Upgrade.Waves, members)
	if err != nil {
		return nil, err
	}
	var waves []meshv1alpha1.PlannedWave
	var problems []error
	for i := range inst.Spec.Upgrade.Waves {
		w := &inst.Spec.Upgrade.Waves[i]
		orderBy(w.OrderBy, selected[i], labels)
		planned, err := plannedWave(w, selected[i])
		problems = append(problems, err)
		waves = append(waves, planned)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return waves, nil
}

// defaultWaves are one member first, then the others.
func defaultWaves(members []meshv1alpha1.Member) []meshv1alpha1.PlannedWave {
	if len(members) == 0 {
		return nil
	}
	names := make([]string, 0, len(members))
	for i := range members {
		names = append(names, members[i].Name)
	}
	wave := func(name string, members []string, soak time.Duration) meshv1alpha1.PlannedWave {
		concurrency := intstr.FromString(defaultConcurrency)
		// The constant is a percentage, so that this cannot fail.
		limit, _ := maxConcurrent(&concurrency, len(members))
		return meshv1alpha1.PlannedWave{
			Name: name, Members: members, MaxConcurrent: limit, Soak: metav1.Duration{Duration: soak},
			ProgressDeadline: metav1.Duration{Duration: defaultProgressDeadline}, Approval: meshv1alpha1.ApprovalNotRequired,
		}
	}
	waves := []meshv1alpha1.PlannedWave{wave("first", names[:1], defaultSoak)}
	if len(names) > 1 {
		waves = append(waves, wave("rest", names[1:], 0))
	}
	return waves
}

// selectMembers are the names of the members of each wave.
func selectMembers(waves []meshv1alpha1.Wave, members []meshv1alpha1.Member) ([][]string, error) {
	rest := -1
	selectors := make([]labels.Selector, len(waves))
	for i := range waves {
		if waves[i].MemberSelector == nil {
			if rest >= 0 {
				return nil, fmt.Errorf("waves %q and %q both leave memberSelector out: at most one may take the rest", waves[rest].Name, waves[i].Name)
			}
			rest = i
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(waves[i].MemberSelector)
		if err != nil {
			return nil, fmt.Errorf("wave %q: memberSelector: %w", waves[i].Name, err)
		}
		selectors[i] = selector
	}
	selected := make([][]string, len(waves))
	var none, several []string
	for _, m := range members {
		var in []string
		for i, selector := range selectors {
			if selector != nil && selector.Matches(labels.Set(m.Labels)) {
				selected[i] = append(selected[i], m.Name)
				in = append(in, waves[i].Name)
			}
		}
		switch {
		case len(in) > 1:
			several = append(several, fmt.Sprintf("%s (%s)", m.Name, strings.Join(in, ", ")))
		case len(in) == 0 && rest >= 0:
			selected[rest] = append(selected[rest], m.Name)
		case len(in) == 0:
			none = append(none, m.Name)
		}
	}
	var problems []error
	if len(none) > 0 {
		problems = append(problems, fmt.Errorf("members in no wave: %s", mesh.List(none, len(none))))
	}
	if len(several) > 0 {
		problems = append(problems, fmt.Errorf("members in several waves: %s", mesh.List(several, len(several))))
	}
	return selected, errors.Join(problems...)
}

// orderBy sorts members by the value of a label, numbers first, and leaves those that are alike as they are. Members
// without the label go last.
func orderBy(key string, members []string, labels map[string]map[string]string) {
	if key == "" {
		return
	}
	slices.SortStableFunc(members, func(a, b string) int {
		x, hasX := labels[a][key]
		y, hasY := labels[b][key]
		switch {
		case hasX != hasY:
			return map[bool]int{true: -1, false: 1}[hasX]
		case !hasX:
			return 0
		}
		m, errM := strconv.ParseInt(x, 10, 64)
		n, errN := strconv.ParseInt(y, 10, 64)
		switch {
		case errM == nil && errN == nil:
			return cmp.Or(cmp.Compare(m, n), cmp.Compare(x, y))
		case (errM == nil) != (errN == nil):
			return map[bool]int{true: -1, false: 1}[errM == nil]
		}
		return cmp.Compare(x, y)
	})
}

func plannedWave(w *meshv1alpha1.Wave, members []string) (meshv1alpha1.PlannedWave, error) {
	limit, err := maxConcurrent(w.MaxConcurrent, len(members))
	if err != nil {
		return meshv1alpha1.PlannedWave{}, fmt.Errorf("wave %q: maxConcurrent: %w", w.Name, err)
	}
	if err := checkWindow(w.Window); err != nil {
		return meshv1alpha1.PlannedWave{}, fmt.Errorf("wave %q: window: %w", w.Name, err)
	}
	out := meshv1alpha1.PlannedWave{
		// A list that is not there is refused by the API server, an empty one is not.
		Name: w.Name, Members: append([]string{}, members...), MaxConcurrent: limit, MaxFailures: w.MaxFailures,
		ProgressDeadline: metav1.Duration{Duration: defaultProgressDeadline},
		Approval:         cmp.Or(w.Approval, meshv1alpha1.ApprovalNotRequired), Window: w.Window.DeepCopy(),
	}
	if w.Soak != nil {
		out.Soak = *w.Soak
	}
	if w.ProgressDeadline != nil {
		out.ProgressDeadline = *w.ProgressDeadline
	}
	return out, nil
}

// maxConcurrent is the number of members, rounded down, but at least one.
func maxConcurrent(limit *intstr.IntOrString, members int) (int32, error) {
	if limit == nil {
		return 1, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(limit, members, false)
	if err != nil {
		return 0, err
	}
	return int32(max(1, min(n, 1<<30))), nil
}
