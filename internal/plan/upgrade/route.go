package upgrade

import (
	"errors"
	"fmt"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// route are the releases by which the members come to a version: each step is an upgrade of its own. Members that
// differ take the way of the one that is furthest behind. A step advances so many minor versions at most, zero is as many as a release
// allows; there is one step back. Errors: there is no way; all reasons.
func route(table istioversion.Table, members []meshv1alpha1.MeshMember, to string, step uint64) ([]string, []error) {
	var versions []string
	for _, r := range Running(members) {
		versions = append(versions, r.Version)
	}
	slices.SortFunc(versions, istioversion.Compare)
	versions = slices.Compact(versions)
	steps := []string{to}
	var problems []error
	for i, v := range versions {
		allowed := table
		if istioversion.Compare(to, v) > 0 {
			allowed = table.Within(step)
		}
		path, err := allowed.Path(v, to)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if i == 0 {
			steps = path
		}
	}
	if n := len(versions); n > 0 && len(steps) > 1 && istioversion.Compare(versions[n-1], steps[0]) > 0 {
		problems = append(problems, fmt.Errorf("members run %s and %s, which no step to %s brings together: go to %s first", versions[0], versions[n-1], to, versions[n-1]))
	}
	return steps, problems
}

// blockers are all reasons known on the hub for which the members cannot run the releases of a route: their Kubernetes is
// too old, or their values are not taken. What can be seen in the members only is for their preflights. A member that is held runs none of
// them, and must not be left too far behind.
func blockers(
	table istioversion.Table, holds Holds, wanted Wanted, members []meshv1alpha1.MeshMember, steps []string,
) []error {
	var problems []error
	for _, step := range steps {
		for i := range members {
			if err := holds.Skew(&members[i], step); err != nil {
				problems = append(problems, err)
			}
		}
		release, ok := table.Lookup(step)
		if !ok {
			problems = append(problems, fmt.Errorf("istio %s cannot be installed: its charts are not in the operator's image; set spec.charts", step))
			continue
		}
		who := map[string][]string{}
		var order []string
		note := func(what, member string) {
			if who[what] == nil {
				order = append(order, what)
			}
			who[what] = append(who[what], member)
		}
		for i := range members {
			m := &members[i]
			want, isMember := wanted[m.Spec.Cluster]
			if !isMember || mesh.IsLeaving(m) || holds.Has(m.Spec.Cluster) {
				continue
			}
			// A version that is not known yet is asked for by the member itself.
			if v := m.Status.KubernetesVersion; v != "" {
				if err := release.CheckKubernetes(v); err != nil {
					note(err.Error(), m.Spec.Cluster)
				}
			}
			values, err := mesh.Values(want.Values)
			if err != nil {
				note(err.Error(), m.Spec.Cluster)
			}
			for _, problem := range release.CheckValues(values) {
				note(problem.String(), m.Spec.Cluster)
			}
		}
		for _, what := range order {
			problems = append(problems, fmt.Errorf("%s (%s)", what, mesh.Capped(who[what])))
		}
	}
	return problems
}

// together is one error of many, on one line. Nil: there are none.
func together(problems []error) error {
	const shown = 10
	if len(problems) == 0 {
		return nil
	}
	said := make([]string, 0, len(problems))
	for _, err := range problems {
		said = append(said, err.Error())
	}
	return errors.New(mesh.Sentences(said, shown))
}
