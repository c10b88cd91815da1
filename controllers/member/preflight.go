package member

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/gate"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/preflight"
)

const (
	// preflightPace is how often the checks are asked again while something is in the way, preflightRecheck when nothing is.
	preflightPace, preflightRecheck = 10 * time.Second, time.Minute
)

// surveyed remembers when the checks were last asked, and for which order, and when and for which upgrade dry runs began.
type surveyed struct {
	order   string
	at      time.Time
	upgrade string
	tried   time.Time
}

// preflight looks for what is in the way of the ordered upgrade, and foresees what it will do. It changes nothing in the
// member. Nearly everything that it finds can be cured, so it waits; only a target that cannot be rendered, or whose objects are
// invalid, has failed.
func (r *Reconciler) preflight(ctx context.Context, s *scope) (meshv1alpha1.StageState, string, error) {
	st, order := s.member.Status.Rollout, s.member.Spec.Rollout
	pace := preflightRecheck
	if st.State != meshv1alpha1.StageDone {
		pace = preflightPace
	}
	asked := fmt.Sprint(order.Upgrade, s.member.Generation)
	if last := s.state.surveyed; last.order == asked && s.now.Sub(last.at) < pace {
		return st.State, st.Message, nil
	}
	from, to, err := r.componentsAround(s)
	if err != nil {
		return meshv1alpha1.StageFailed, "the target cannot be rendered: " + err.Error(), nil
	}
	before, after := objectsOf(from), objectsOf(to)
	release, ok := istioversion.Lookup(order.Target.Version)
	if !ok {
		return meshv1alpha1.StageFailed, fmt.Sprintf("istio %s cannot be installed by this operator; it knows %v", order.Target.Version, istioversion.Supported()), nil
	}
	if st.Changes, err = preflight.Changes(before, after); err != nil {
		return "", "", err
	}
	m := &preflight.Subject{
		Client: s.remote, Namespace: s.namespace(), Installation: s.owner(), Release: release,
		KubernetesVersion: s.member.Status.KubernetesVersion, Before: before, After: after,
		Injects: append(retiringNames(s), controlplane.DefaultTag, order.From, order.To),
		Evicts:  s.member.Spec.Restart.Method == meshv1alpha1.RestartMethodEvict,
	}
	for _, t := range s.tags() {
		m.Injects = append(m.Injects, t.Name)
	}
	findings := append(preflight.Run(ctx, m), peersFinding(s), r.dryRun(ctx, s, to))
	st.Gates = preflight.Results(findings, order.IgnoreChecks, st.Gates, s.now)
	if st.Forecast, err = r.foresee(ctx, s); err != nil {
		return meshv1alpha1.StageProgressing, err.Error(), nil
	}
	s.state.surveyed.order, s.state.surveyed.at = asked, s.now
	state, message := preflightState(st, s.now)
	return state, message, nil
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

// peersFinding is how this member's istiod sees its peers: what verifyPeers has just found.
func peersFinding(s *scope) preflight.Finding {
	f := preflight.Finding{Name: string(meshv1alpha1.CheckPeers), Note: s.peers.Text()}
	if s.peers.Kind != phase.Done {
		f.Problems = []string{s.peers.Text() + ": see that istiod reaches the API servers of its peers"}
	}
	return f
}

// componentsAround are the operator's objects before the upgrade and when it is over. Tags that are kept are not among them: they come
// and go by what users label, and a plan keeps its hash meanwhile.
func (r *Reconciler) componentsAround(s *scope) (before, after []apply.Component, err error) {
	order := s.member.Spec.Rollout
	at := func(stage meshv1alpha1.Stage, version string) ([]apply.Component, error) {
		spec := s.member.Spec.DeepCopy()
		plan.Content(spec, order.Former, order.Target, stage)
		spec.ReaderVersion = version
		return r.components(spec)
	}
	if before, err = at(meshv1alpha1.StageDiscard, s.member.Spec.ReaderVersion); err != nil {
		return nil, nil, err
	}
	reader := s.member.Spec.ReaderVersion
	if istioversion.Compare(order.Target.Version, reader) > 0 {
		reader = order.Target.Version
	}
	after, err = at(meshv1alpha1.StageRetire, reader)
	return before, after, err
}

// components are what a work order makes of charts.
func (r *Reconciler) components(spec *meshv1alpha1.MeshMemberSpec) ([]apply.Component, error) {
	crds, base, err := controlplane.Foundation(r.Charts, spec)
	if err != nil {
		return nil, err
	}
	reader, err := controlplane.ReaderPermissions(r.Charts, spec)
	if err != nil {
		return nil, err
	}
	tags, err := controlplane.TagObjects(r.Charts, spec, "")
	if err != nil {
		return nil, err
	}
	gateways, err := eastwest.Objects(r.Charts, spec, spec.GatewayRevision, true)
	if err != nil {
		return nil, err
	}
	all := []apply.Component{crds, base, reader, tags, gateways, eastwest.ListenerObjects(spec.ControlPlaneNamespace)}
	for i := range spec.Revisions {
		c, err := controlplane.Revision(r.Charts, spec, &spec.Revisions[i])
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func objectsOf(components []apply.Component) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, c := range components {
		all = append(all, c.Objects...)
	}
	return all
}

// foresee says what the tags' move will mean for workloads.
func (r *Reconciler) foresee(ctx context.Context, s *scope) (meshv1alpha1.RolloutForecast, error) {
	order := s.member.Spec.Rollout
	request := workloads.Request{
		Namespace: s.namespace(), Tags: map[string]string{controlplane.DefaultTag: order.To}, Revisions: append(retiringNames(s), order.From, order.To),
		Method: s.member.Spec.Restart.Method, Now: s.now,
	}
	for _, t := range s.tags() {
		request.Tags[t.Name] = order.To
	}
	world, err := workloads.Observe(ctx, s.remote, request)
	if err != nil {
		return meshv1alpha1.RolloutForecast{}, fmt.Errorf("foresee restarts: %w", err)
	}
	names, err := s.readNames(ctx)
	if err != nil {
		return meshv1alpha1.RolloutForecast{}, fmt.Errorf("find what names revision %s: %w", order.From, err)
	}
	f := workloads.Foresee(world, request)
	return meshv1alpha1.RolloutForecast{
		Restarts: preflight.SampleOf(f.Restarts), Pods: int32(f.Pods), //nolint:gosec // far fewer than 2^31
		Budgets: preflight.SampleOf(f.Budgets), Fragile: preflight.SampleOf(f.Fragile),
		Pinned: preflight.FirstOf(names.Of(order.From)),
	}, nil
}
