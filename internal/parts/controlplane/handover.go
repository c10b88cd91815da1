package controlplane

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// TagLabel is on the webhook and on the Service of a tag.
const TagLabel = "istio.io/tag"

// gatewayRole begins the name of the ClusterRole by which istiod writes what it runs for Gateways of the Gateway API.
const gatewayRole = "istiod-gateway-controller-"

// Leaving is the revision that workloads are leaving at the member's stage, if its istiod would forget Gateways of the
// Gateway API together with its tags. Else it is empty.
//
// A tag is a webhook and a Service, and istiod takes itself for the owner of a Gateway if either of them says so. The webhook
// moves at once, so that pods get the other proxy. The Service stays until workloads have left: so the former istiod goes on
// to configure the gateways that it has, while the next one has theirs replaced.
func Leaving(m *meshv1alpha1.MeshMemberSpec) string {
	if m.Rollout == nil {
		return ""
	}
	switch m.Rollout.Stage {
	case meshv1alpha1.StageWorkloads:
		return forgetful(m, m.Rollout.From.Name)
	case meshv1alpha1.StageRollback:
		return forgetful(m, m.Rollout.To.Name)
	}
	return ""
}

// idle is the revision whose istiod must not write what is run for Gateways. With two owners, each would undo what the
// other has just written. It stays so while it is there: the tags' Services may have moved only a moment ago.
func idle(m *meshv1alpha1.MeshMemberSpec) string {
	if m.Rollout != nil && m.Rollout.Stage == meshv1alpha1.StageSoak {
		return forgetful(m, m.Rollout.From.Name)
	}
	return Leaving(m)
}

// forgetful is the revision given, if it is of a release that knows only its own Gateways. One that this operator does not know counts as
// such: with the Service of the tags, and without permission to write, it serves as well.
func forgetful(m *meshv1alpha1.MeshMemberSpec, revision string) string {
	for i := range m.Revisions {
		release, isKnown := istioversion.Of(m.Revisions[i].Version)
		if m.Revisions[i].Name == revision && (!isKnown || release.ConfiguresOwnGatewaysOnly) {
			return revision
		}
	}
	return ""
}

// restricted takes from an istiod what it needs only to write Deployments and Services of Gateways. It still reads them.
// What is rendered belongs to others as well, and stays as it is.
func restricted(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	out := slices.Clone(objects)
	for i, o := range out {
		if !isGatewayRole(o) {
			continue
		}
		out[i] = o.DeepCopy()
		rules, _ := out[i].Object["rules"].([]any)
		for _, rule := range rules {
			if r, ok := rule.(map[string]any); ok {
				r["verbs"] = []any{"get", "list", "watch"}
			}
		}
	}
	return out
}

func isGatewayRole(o *unstructured.Unstructured) bool {
	return o.GetKind() == "ClusterRole" && strings.HasPrefix(o.GetName(), gatewayRole)
}

func isService(o *unstructured.Unstructured) bool   { return o.GetKind() == "Service" }
func isNoService(o *unstructured.Unstructured) bool { return !isService(o) }
