package installation

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// support reports what speaks against the releases that members run or are ordered to run. Ready does not depend on it: it changes with
// the calendar, and nothing that serves stops then.
func support(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, now time.Time) status.Outcome {
	versions := versionsOf(inst, members)
	states := make([]metrics.ReleaseState, 0, len(versions))
	for _, v := range versions {
		release, isKnown := istioversion.Of(v)
		kind, _ := release.Concerns(now)
		states = append(states, metrics.ReleaseState{Version: v, IsSupported: isKnown && kind == "", EndOfSupport: release.EndOfSupport()})
	}
	metrics.SetReleases(client.ObjectKeyFromObject(inst), states)
	return status.Outcome{Type: meshv1alpha1.ConditionReleaseSupported, Aside: true, Result: judgeReleases(versions, members, now)}
}

// versionsOf are the releases of a mesh, oldest first: those of the members, or the spec's if there are none yet.
func versionsOf(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []string {
	var versions []string
	for i := range members {
		for _, rev := range members[i].Spec.Revisions {
			if !slices.Contains(versions, rev.Version) {
				versions = append(versions, rev.Version)
			}
		}
	}
	if len(versions) == 0 {
		return []string{inst.Spec.Version}
	}
	slices.SortFunc(versions, istioversion.Compare)
	return versions
}

// concerns are the reasons of ReleaseSupported, the gravest first.
var concerns = []string{
	meshv1alpha1.ReasonEndOfSupport, meshv1alpha1.ReasonKnownDefect, meshv1alpha1.ReasonReleaseUnknown, meshv1alpha1.ReasonUntested,
	meshv1alpha1.ReasonKubernetesUnsupported,
}

// graver is the graver of two reasons, of which each may be missing.
func graver(a, b string) string {
	if i, j := slices.Index(concerns, a), slices.Index(concerns, b); i < 0 || j >= 0 && j < i {
		return b
	}
	return a
}

// judgeReleases names all concerns about releases, the gravest kind as the reason, and the members whose Kubernetes upstream does not
// support for them.
func judgeReleases(versions []string, members []meshv1alpha1.MeshMember, now time.Time) phase.Result {
	reason := ""
	var sentences []string
	for _, v := range versions {
		release, isKnown := istioversion.Of(v)
		if !isKnown {
			reason = graver(reason, meshv1alpha1.ReasonReleaseUnknown)
			sentences = append(sentences, fmt.Sprintf("this operator knows nothing of Istio %s", v))
			continue
		}
		kind, texts := release.Concerns(now)
		reason = graver(reason, string(kind))
		sentences = append(sentences, texts...)
	}
	outside := map[string][]string{}
	for i := range members {
		for _, rev := range members[i].Spec.Revisions {
			release, _ := istioversion.Of(rev.Version)
			if text := release.KubernetesConcern(members[i].Status.KubernetesVersion); text != "" && !slices.Contains(outside[text], members[i].Spec.Cluster) {
				outside[text] = append(outside[text], members[i].Spec.Cluster)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(outside)) {
		reason = graver(reason, meshv1alpha1.ReasonKubernetesUnsupported)
		sentences = append(sentences, fmt.Sprintf("%s run %s", mesh.List(outside[text], len(outside[text])), text))
	}
	if reason == "" {
		return phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("upstream supports Istio %s", mesh.List(versions, len(versions))))
	}
	return phase.Waiting(reason, mesh.Sentences(sentences, mesh.NamesShown), 0)
}
