package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/pinning"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
)

// keptRecheck is how often it is seen to that the hub still keeps charts that are pinned.
const keptRecheck = 10 * time.Minute

// maxChecked bounds how many answers of the check of values are kept.
const maxChecked = 4096

// Charts sees that the charts of what a spec asks for are there and take its values.
type Charts struct {
	// Pins fetches charts and keeps them.
	Pins *pinning.Pins
	// Checker checks values.
	Checker charts.Checker

	mu      sync.Mutex
	checked map[string]error
}

// ensure pins the charts of the spec's version, and says how it stands with them. While it is held, nothing new may be planned.
func (c *Charts) ensure(ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) (o status.Outcome, isHeld bool) {
	if c == nil {
		c = &Charts{Pins: &pinning.Pins{}}
	}
	o.Type = meshv1alpha1.ConditionChartsReady
	version, have := inst.Spec.Version, c.Pins.Ensure(ctx, inst)
	switch {
	case have.IsPackaged:
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("the charts of Istio %s are in the operator's image", version))
		return o, false
	case have.IsMissing:
		// Members that run it go on, and the others say that they cannot.
		o.Aside = true
		o.Result = phase.Waiting(meshv1alpha1.ReasonVersionUnsupported, fmt.Sprintf(
			"the charts of Istio %s are not in the operator's image; set spec.charts to where they are", version), 0)
		return o, false
	case have.IsReady:
		switch err := c.checkValues(inst, members); {
		case charts.IsUnavailable(err):
			o.Result = phase.Waiting(meshv1alpha1.ReasonChartsFetching, err.Error(), outcome.Recheck)
			return o, true
		case err != nil:
			o.Result = phase.Stall(meshv1alpha1.ReasonInvalidValues, err)
			return o, true
		}
		digests, _ := upgrade.ChartsOf(inst)
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf(
			"the charts of Istio %s from %s are pinned: istiod has the digest %s", version, have.Source, digests.Istiod))
		o.Result.After = keptRecheck
		return o, false
	case have.Reason == "":
		o.Result = phase.Waiting(meshv1alpha1.ReasonChartsFetching, fmt.Sprintf("fetching the charts of Istio %s from %s", version, have.Source), outcome.ShortWait)
	default:
		o.Result = phase.Stall(have.Reason, fmt.Errorf("charts of Istio %s from %s: %w", version, have.Source, have.Problem))
		o.Result.After = max(have.RetryIn, outcome.ShortWait)
	}
	// What is pinned runs on from what members keep.
	o.Aside = have.IsPinned || inst.Spec.Charts == nil && slices.ContainsFunc(members, func(m meshv1alpha1.MeshMember) bool {
		return mesh.HasServed(&m) && mesh.RunningRevision(&m).Version == version
	})
	return o, true
}

// checkValues checks all values of a spec against charts that were fetched: admission may not have had them. When members run these charts
// already, admission has. Errors: one that joins the problems, or charts.IsUnavailable.
func (c *Charts) checkValues(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) error {
	digests, _ := upgrade.ChartsOf(inst)
	if slices.ContainsFunc(members, func(m meshv1alpha1.MeshMember) bool {
		return mesh.HasServed(&m) && mesh.RunningRevision(&m).Charts == digests
	}) {
		return nil
	}
	var away error
	var problems []string
	check := func(field, chart string, raw *apiextensionsv1.JSON) {
		err := c.check(charts.Ref{Chart: chart, Version: inst.Spec.Version, Digest: digests.Of(chart)}, raw)
		if charts.IsUnavailable(err) {
			away = err
			return
		}
		for _, err := range mesh.Leaves(err) {
			separator := ": "
			if _, isValue := errors.AsType[*charts.ValueError](err); isValue {
				separator = "."
			}
			problems = append(problems, field+separator+err.Error())
		}
	}
	spec := &inst.Spec
	check("spec.controlPlane.values", charts.Istiod, spec.ControlPlane.Values)
	check("spec.eastWestGateway.values", charts.Gateway, spec.EastWestGateway.Values)
	for i := range spec.Members {
		m := &spec.Members[i]
		check("spec.members["+m.Name+"].values", charts.Istiod, m.Values)
		if m.EastWestGateway != nil {
			check("spec.members["+m.Name+"].eastWestGateway.values", charts.Gateway, m.EastWestGateway.Values)
		}
	}
	if away != nil || len(problems) == 0 {
		return away
	}
	return errors.New(mesh.Sentences(problems, mesh.NamesShown))
}

// check is Checker.CheckValues with a memory: it reads all templates of a chart.
func (c *Charts) check(ref charts.Ref, raw *apiextensionsv1.JSON) error {
	if raw == nil {
		return nil
	}
	values, err := mesh.Values(raw)
	if err != nil {
		return err
	}
	key := ref.Digest + mesh.ShortHash(raw.Raw)
	c.mu.Lock()
	err, isKnown := c.checked[key]
	c.mu.Unlock()
	if isKnown {
		return err
	}
	if err = c.Checker.CheckValues(ref, values); charts.IsUnavailable(err) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checked == nil || len(c.checked) >= maxChecked {
		c.checked = map[string]error{}
	}
	c.checked[key] = err
	return err
}
