package member

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/preflight"
	"github.com/meshfleet/meshfleet/internal/status"
)

const (
	// countEvery is how often pods are counted in a member in which some have a proxy. Where there are none, they are counted each
	// outcome.Recheck.
	countEvery = 5 * time.Minute
	// countShare is the least time between two counts for each peer: counting reads all pods of the member.
	countShare = time.Second
)

// looks are what is looked at from time to time, and Ready does not depend on.
type looks struct {
	// cni is what was last seen of the CNI plugin of members.
	cni member.Memory[cniSeen]
	// counted is when pods with a proxy were last counted in members.
	counted member.Memory[time.Time]
}

// tellContested reports whether other clients keep changing objects of the operator. Ready does not depend on it: the operator restores
// the objects each time.
func tellContested(pass *member.Pass) {
	if pass.Remote == nil {
		return
	}
	pass.Aside = append(pass.Aside, soleWriter(pass.Applier().Contested()))
}

func soleWriter(contested []apply.Contested) status.Outcome {
	o := status.Outcome{Type: meshv1alpha1.ConditionSoleWriter, Aside: true}
	if len(contested) == 0 {
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, "no other client keeps changing the operator's objects")
		return o
	}
	byManager := map[string][]string{}
	for _, c := range contested {
		byManager[c.Manager] = append(byManager[c.Manager], c.Object.String())
	}
	var texts []string
	for _, manager := range slices.Sorted(maps.Keys(byManager)) {
		name := "a client without a name"
		if manager != "" {
			name = "client " + strconv.Quote(manager)
		}
		texts = append(texts, fmt.Sprintf("%s keeps changing %s", name, mesh.List(byManager[manager], len(byManager[manager]))))
	}
	o.Result = phase.Waiting(meshv1alpha1.ReasonObjectsContested, mesh.Sentences(texts, mesh.NamesShown)+
		"; the operator restores them each time: take them out of what that client applies", 0)
	return o
}

// cniSeen is what was last seen of the CNI plugin of a member. Nil: no injector is installed yet.
type cniSeen struct {
	at      time.Time
	outcome *status.Outcome
}

// tellCNI reports whether new sidecars can redirect traffic where the values leave that to Istio's CNI plugin, which the operator does not
// install. Ready does not depend on it: workloads may come later than the mesh.
func (r *Reconciler) tellCNI(ctx context.Context, pass *member.Pass) {
	if pass.Remote == nil {
		return
	}
	seen := r.cni.Of(pass)
	if seen.outcome == nil || pass.Now.Sub(seen.at) >= outcome.Recheck {
		seen.at, seen.outcome = pass.Now, redirected(ctx, pass)
	}
	if seen.outcome != nil {
		pass.Aside = append(pass.Aside, *seen.outcome)
	}
}

// redirected is the condition, or nil before an injector is installed.
func redirected(ctx context.Context, pass *member.Pass) *status.Outcome {
	o := &status.Outcome{Type: meshv1alpha1.ConditionSidecarsRedirected, Aside: true}
	injectors, err := injectorsOf(ctx, pass)
	if err == nil && len(injectors) == 0 {
		return nil
	}
	finding, isAsked := preflight.Finding{}, false
	if err == nil {
		finding, isAsked, err = preflight.CNIPlugin(ctx, pass.Remote, injectors)
	}
	switch {
	case err != nil:
		o.Unknown = true
		o.Result = phase.Waiting(meshv1alpha1.ReasonRetrying, "could not find out whether Istio's CNI plugin runs: "+err.Error(), outcome.Recheck)
	case !isAsked:
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, "no revision relies on Istio's CNI plugin: init containers redirect traffic")
	case len(finding.Problems) > 0:
		o.Result = phase.Waiting(meshv1alpha1.ReasonCNIMissing, finding.Problems[0], outcome.Recheck)
	default:
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, finding.Note)
	}
	return o
}

// injectorsOf are the ConfigMaps of the injectors that the work order installs, as far as they exist.
func injectorsOf(ctx context.Context, pass *member.Pass) ([]*unstructured.Unstructured, error) {
	var injectors []*unstructured.Unstructured
	for _, revision := range pass.Object.Spec.Revisions {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
		key := client.ObjectKey{Namespace: pass.Namespace(), Name: preflight.InjectorName(revision.Name)}
		err := pass.Remote.Get(ctx, key, o)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read ConfigMap %s: %w", key, err)
		}
		injectors = append(injectors, o)
	}
	return injectors, nil
}

// tellProxies reports how many pods with a proxy run in the member: while some do, admission refuses to delete the mesh. Who holds a cluster
// that is not the member's is not counted, and pods that cannot be counted are unknown.
func (r *Reconciler) tellProxies(ctx context.Context, pass *member.Pass) {
	if pass.Remote == nil {
		// The last number stays. The condition Reachable is False, so that admission counts it as unknown.
		return
	}
	report, counted := &pass.Object.Status, r.counted.Of(pass)
	if !pass.Claimed {
		report.Proxies, *counted = nil, time.Time{}
		return
	}
	if pass.Now.Sub(*counted) >= countPace(pass.Object) {
		*counted, report.Proxies = pass.Now, nil
		n, err := controlplane.CountPods(ctx, pass)
		if err != nil {
			log.FromContext(ctx).V(1).Info("Counting pods with a proxy failed", "reason", err.Error())
		} else {
			report.Proxies = &n
		}
	}
	pass.Aside = append(pass.Aside, again(counted.Add(countPace(pass.Object)).Sub(pass.Now)))
}

// countPace is the time between two counts of the pods of a member.
func countPace(m *meshv1alpha1.MeshMember) time.Duration {
	pace := countEvery
	if n := m.Status.Proxies; n == nil || *n == 0 {
		pace = outcome.Recheck
	}
	return max(pace, time.Duration(len(m.Spec.Peers))*countShare)
}

// again is an outcome that decides no condition: it only asks for another pass.
func again(after time.Duration) status.Outcome {
	return status.Outcome{Aside: true, Result: phase.Result{After: max(after, outcome.ShortWait)}}
}
