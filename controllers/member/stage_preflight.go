package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/preflight"
)

const (
	// preflightPace is how often the checks are asked again while something is in the way, preflightRecheck when nothing is.
	preflightPace, preflightRecheck = 10 * time.Second, time.Minute
	// shownValues is how many values a message names.
	shownValues = 5
)

// lastPreflight remembers when the checks were last asked, and for which order, and when and for which upgrade dry runs began.
type lastPreflight struct {
	order   string
	at      time.Time
	upgrade string
	tried   time.Time
}

// preflight looks for what is in the way of the ordered upgrade, and foresees what it will do. It changes nothing in the
// member. Nearly everything that it finds can be cured, so it waits; only a target that cannot be rendered, or whose objects are
// invalid, has failed.
func (s *stages) preflight(ctx context.Context, pass *member.Pass) (meshv1alpha1.StageState, string, error) {
	st, order := pass.Object.Status.Rollout, pass.Object.Spec.Rollout
	asked := fmt.Sprint(order.Upgrade, pass.Object.Generation)
	if last := s.memory.Of(pass).lastPreflight; last.order == asked && pass.Now.Sub(last.at) < preflightPaceOf(st.State) {
		return st.State, st.Message, nil
	}
	from, to, err := s.componentsAround(ctx, pass)
	if charts.IsUnavailable(err) && !order.To.Charts.IsZero() {
		// The charts are being fetched again, or the hub does not answer: that says nothing against the target.
		return meshv1alpha1.StageProgressing, "the charts of the target: " + err.Error(), nil
	}
	if err != nil {
		return meshv1alpha1.StageFailed, "the target cannot be rendered: " + err.Error(), nil
	}
	if err := s.checkValues(order); charts.IsUnavailable(err) {
		return meshv1alpha1.StageProgressing, "the charts of the target: " + err.Error(), nil
	} else if err != nil {
		return meshv1alpha1.StageFailed, "the values of the target are refused: " + err.Error(), nil
	}
	before, after := objectsOf(from), objectsOf(to)
	release, ok := istioversion.Installable(order.To.Version, !order.To.Charts.IsZero())
	if !ok {
		return meshv1alpha1.StageFailed, fmt.Sprintf("istio %s has no charts in this operator; set spec.charts, or use one of %v", order.To.Version, istioversion.Supported()), nil
	}
	if st.Changes, err = preflight.Changes(before, after); err != nil {
		return "", "", err
	}
	byDefault, err := controlplane.InjectsByDefault(&order.To)
	if err != nil {
		return "", "", err
	}
	m := &preflight.Subject{
		Client: pass.Remote, Namespace: pass.Namespace(), Installation: pass.Owner(), Release: release,
		KubernetesVersion: pass.Object.Status.KubernetesVersion, Before: before, After: after,
		Injects:          append(mesh.RetiringNames(pass.Object), controlplane.DefaultTag, order.From.Name, order.To.Name),
		InjectsByDefault: byDefault,
		Watched:          append(s.parts.Kinds(), istioGateway()),
		Evicts:           pass.Object.Spec.Restart.Method == meshv1alpha1.RestartMethodEvict,
	}
	for _, t := range mesh.Tags(pass.Object) {
		m.Injects = append(m.Injects, t.Name)
	}
	findings := append(preflight.Run(ctx, m), peersFinding(pass.Result("verifyPeers")), s.dryRun(ctx, pass, to))
	st.Gates = preflight.Results(findings, order.IgnoreChecks, st.Gates, pass.Now)
	if st.Forecast, err = foresee(ctx, pass); err != nil {
		return meshv1alpha1.StageProgressing, err.Error(), nil
	}
	s.memory.Of(pass).lastPreflight.order, s.memory.Of(pass).lastPreflight.at = asked, pass.Now
	state, message := preflightState(st, pass.Now)
	return state, message, nil
}

// preflightPaceOf is how often the checks are asked, and a pass is worth its while: all members of all waves are at this stage for as long
// as the upgrade lasts.
func preflightPaceOf(state meshv1alpha1.StageState) time.Duration {
	if state == meshv1alpha1.StageDone {
		return preflightRecheck
	}
	return preflightPace
}

// checkValues checks the values of the target as admission does. Values that the member runs with already are not judged again.
func (s *stages) checkValues(order *meshv1alpha1.MemberRollout) error {
	if mesh.SameJSON(order.From.Values, order.To.Values) {
		return nil
	}
	values, err := mesh.Values(order.To.Values)
	if err != nil {
		return err
	}
	err = s.values.CheckValues(charts.Ref{Chart: charts.Istiod, Version: order.To.Version, Digest: order.To.Charts.Istiod}, values)
	if charts.IsUnavailable(err) && !order.To.Charts.IsZero() {
		return err
	}
	var problems []string
	for _, problem := range mesh.Leaves(err) {
		problems = append(problems, problem.Error())
	}
	if len(problems) == 0 {
		return nil
	}
	return errors.New(mesh.Sentences(problems, shownValues))
}

// preflightState is the state of the checks, with what the upgrade will change when nothing is in the way.
func preflightState(st *meshv1alpha1.MemberRolloutStatus, now time.Time) (meshv1alpha1.StageState, string) {
	state, message := gate.PreflightState(st.Gates, now)
	if message != "" {
		return state, message
	}
	message = fmt.Sprintf("%d checks passed; %d objects added, %d changed, %d removed; %d workloads to restart",
		len(st.Gates), st.Changes.Added.Count, st.Changes.Changed.Count, st.Changes.Removed.Count, st.Forecast.Restarts.Count)
	if pinned := st.Forecast.Pinned; pinned.Count > 0 {
		message += fmt.Sprintf("; the former revision stays as long as it is named in place of a tag in the label istio.io/rev of %s: name a tag there",
			mesh.List(pinned.Names[:min(len(pinned.Names), mesh.NamesShown)], int(pinned.Count)))
	}
	return state, message
}

// peersFinding is how this member's istiod sees its peers: what has just been found of them.
func peersFinding(peers phase.Result) preflight.Finding {
	f := preflight.Finding{Name: string(meshv1alpha1.CheckPeers), Note: peers.Text()}
	if peers.Kind != phase.Done {
		f.Problems = []string{peers.Text() + ": see that istiod reaches the API servers of its peers"}
	}
	return f
}

// componentsAround are the operator's objects before the upgrade and when it is over. Tags that are kept are not among them: they come
// and go by what users label, and a plan keeps its hash meanwhile.
func (s *stages) componentsAround(ctx context.Context, pass *member.Pass) (before, after []apply.Component, err error) {
	order := pass.Object.Spec.Rollout
	at := func(stage meshv1alpha1.Stage, version string, digests meshv1alpha1.ChartDigests) ([]apply.Component, error) {
		spec := pass.Object.Spec.DeepCopy()
		plan.Content(spec, order.From, order.To, stage)
		spec.ReaderVersion, spec.ReaderCharts = version, digests
		return s.parts.Rendered(ctx, pass, spec)
	}
	reader, digests := pass.Object.Spec.ReaderVersion, pass.Object.Spec.ReaderCharts
	if before, err = at(meshv1alpha1.StageDiscard, reader, digests); err != nil {
		return nil, nil, err
	}
	if istioversion.Compare(order.To.Version, reader) > 0 {
		reader, digests = order.To.Version, order.To.Charts
	}
	after, err = at(meshv1alpha1.StageRetire, reader, digests)
	return before, after, err
}

func objectsOf(components []apply.Component) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, c := range components {
		all = append(all, c.Objects...)
	}
	return all
}

// foresee forecasts the restarts that the move of the tags causes.
func foresee(ctx context.Context, pass *member.Pass) (meshv1alpha1.RolloutForecast, error) {
	order := pass.Object.Spec.Rollout
	request := workloads.Request{
		Namespace: pass.Namespace(), Tags: map[string]string{controlplane.DefaultTag: order.To.Name}, Revisions: append(mesh.RetiringNames(pass.Object), order.From.Name, order.To.Name),
		Method: pass.Object.Spec.Restart.Method, Now: pass.Now,
	}
	for _, t := range mesh.Tags(pass.Object) {
		request.Tags[t.Name] = order.To.Name
	}
	var err error
	if request.InjectsByDefault, err = controlplane.InjectsByDefault(&order.To); err != nil {
		return meshv1alpha1.RolloutForecast{}, err
	}
	world, err := workloads.Observe(ctx, pass.World, request)
	if err != nil {
		return meshv1alpha1.RolloutForecast{}, fmt.Errorf("foresee restarts: %w", err)
	}
	names, err := pass.World.Names(ctx)
	if err != nil {
		return meshv1alpha1.RolloutForecast{}, fmt.Errorf("find what names revision %s: %w", order.From.Name, err)
	}
	f := workloads.Foresee(world, request)
	return meshv1alpha1.RolloutForecast{
		Restarts: mesh.SampleOf(f.Restarts), Pods: int32(f.Pods), //nolint:gosec // far fewer than 2^31
		Budgets: mesh.SampleOf(f.Budgets), Fragile: mesh.SampleOf(f.Fragile),
		Pinned: mesh.FirstOf(names.Of(order.From.Name)),
	}, nil
}
