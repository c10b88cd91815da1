package mesh

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Difference is why a member that serves does not run what it is to run. Empty: it does.
func Difference(running, wanted meshv1alpha1.Revision) string {
	switch {
	case running.Version != wanted.Version:
		return fmt.Sprintf("spec.version is %s, the control plane that serves is %s", wanted.Version, running.Version)
	case !SameJSON(running.Values, wanted.Values):
		return "the control plane values differ from those of the control plane that serves"
	case !SameGateway(running.Gateway, wanted.Gateway):
		return "the settings of the east-west gateway differ from those in force"
	case running.Charts != wanted.Charts:
		return "the charts of Istio " + wanted.Version + " have other digests than those of the control plane that serves"
	case running.Rendering != wanted.Rendering:
		return "this operator renders Istio " + wanted.Version + " differently from the one that installed it"
	}
	return ""
}

// SameGateway compares settings by content.
func SameGateway(a, b meshv1alpha1.RevisionGateway) bool {
	return replacement(a) == replacement(b) && maps.Equal(a.Annotations, b.Annotations) && SameJSON(a.Values, b.Values)
}

// replacement is how a gateway is replaced, with the default.
func replacement(g meshv1alpha1.RevisionGateway) meshv1alpha1.GatewayReplacement {
	return cmp.Or(g.Replacement, meshv1alpha1.GatewayReplacementSurge)
}

// SharedRevision is what the spec asks of all members at a version. It has no name, no rendering and no charts.
func SharedRevision(spec *meshv1alpha1.MeshInstallationSpec, version string) meshv1alpha1.Revision {
	g := &spec.EastWestGateway
	return meshv1alpha1.Revision{Version: version, Values: spec.ControlPlane.Values, Gateway: meshv1alpha1.RevisionGateway{
		Replacement: g.Replacement, Annotations: g.Service.Annotations, Values: g.Values,
	}}
}

// MemberRevision lays the settings of a member over those that all members share.
func MemberRevision(shared meshv1alpha1.Revision, m *meshv1alpha1.Member) (meshv1alpha1.Revision, error) {
	out := shared
	var err error
	if out.Values, err = merged("spec.controlPlane", shared.Values, m, "values", m.Values); err != nil {
		return out, err
	}
	own := m.EastWestGateway
	if own == nil {
		own = &meshv1alpha1.MemberGateway{}
	}
	out.Gateway.Replacement = cmp.Or(own.Replacement, shared.Gateway.Replacement)
	if len(own.Service.Annotations) > 0 {
		out.Gateway.Annotations = maps.Clone(shared.Gateway.Annotations)
		if out.Gateway.Annotations == nil {
			out.Gateway.Annotations = map[string]string{}
		}
		maps.Copy(out.Gateway.Annotations, own.Service.Annotations)
	}
	out.Gateway.Values, err = merged("spec.eastWestGateway", shared.Gateway.Values, m, "eastWestGateway.values", own.Values)
	return out, err
}

// merged are values of a member over those that all share. Error: names the field that is no map.
func merged(
	sharedField string, shared *apiextensionsv1.JSON, m *meshv1alpha1.Member, ownField string, own *apiextensionsv1.JSON,
) (*apiextensionsv1.JSON, error) {
	base, err := Values(shared)
	if err != nil {
		return nil, fmt.Errorf("%s.values: %w", sharedField, err)
	}
	over, err := Values(own)
	if err != nil {
		return nil, fmt.Errorf("spec.members[%s].%s: %w", m.Name, ownField, err)
	}
	all := Merge(base, over)
	if len(all) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return &apiextensionsv1.JSON{Raw: raw}, nil
}

// GatewayReplicas are the bounds of the gateway's autoscaler in a member. A member that asks for more than the greatest number of
// all others has that many.
func GatewayReplicas(spec *meshv1alpha1.MeshInstallationSpec, m *meshv1alpha1.Member) meshv1alpha1.GatewayReplicas {
	out := meshv1alpha1.GatewayReplicas{Min: spec.EastWestGateway.Replicas.Min, Max: spec.EastWestGateway.Replicas.Max}
	if own := m.EastWestGateway; own != nil {
		out = meshv1alpha1.GatewayReplicas{Min: cmp.Or(own.Replicas.Min, out.Min), Max: cmp.Or(own.Replicas.Max, out.Max)}
		if own.Replicas.Min == 0 && out.Max > 0 {
			out.Min = min(out.Min, out.Max)
		}
		out.Max = max(out.Max, out.Min)
	}
	return out
}

const (
	// HashLength is the length of a hash in names and in status.
	HashLength = 10
	// SuffixLength is the least length of a hash in the name of a revision.
	SuffixLength = 8
)

// ShortHash identifies content in names and in status.
func ShortHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:HashLength]
}

// RevisionHash identifies what a revision consists of, whatever it is called. Empty: its values cannot be read.
func RevisionHash(r meshv1alpha1.Revision) string {
	content, err := Content(r)
	if err != nil {
		return ""
	}
	raw, err := json.Marshal(content)
	if err != nil {
		return ""
	}
	return ShortHash(raw)
}

// AttemptHash tells the attempts at one content apart.
func AttemptHash(content string, attempt int32) string {
	if attempt == 0 {
		return content
	}
	return ShortHash([]byte(content + "/" + strconv.Itoa(int(attempt))))
}

// IsTarget says whether a revision of a member has the content that a target has for it, whatever it is called.
func IsTarget(to *meshv1alpha1.RevisionTarget, member string, r meshv1alpha1.Revision) bool {
	for _, own := range to.OwnValues {
		if own.Member == member {
			return own.Hash == RevisionHash(r)
		}
	}
	return to.SharedHash == AttemptHash(RevisionHash(r), to.Attempt)
}

// Content is all that a revision consists of. What is not set is left out, so that a hash of it stays the same when an operator
// knows more settings. Error: values are no map.
func Content(r meshv1alpha1.Revision) (map[string]any, error) {
	values, err := Values(r.Values)
	if err != nil {
		return nil, err
	}
	content := map[string]any{"version": r.Version, "values": values}
	gatewayValues, err := Values(r.Gateway.Values)
	if err != nil {
		return nil, err
	}
	gateway := map[string]any{}
	if len(gatewayValues) > 0 {
		gateway["values"] = gatewayValues
	}
	if len(r.Gateway.Annotations) > 0 {
		gateway["annotations"] = r.Gateway.Annotations
	}
	if kind := replacement(r.Gateway); kind != meshv1alpha1.GatewayReplacementSurge {
		gateway["replacement"] = kind
	}
	if len(gateway) > 0 {
		content["gateway"] = gateway
	}
	if r.Rendering != "" {
		content["rendering"] = r.Rendering
	}
	if !r.Charts.IsZero() {
		content["charts"] = r.Charts
	}
	return content, nil
}

// IsPlain says that a revision consists of a version alone.
func IsPlain(content map[string]any) bool {
	values, _ := content["values"].(map[string]any)
	return len(values) == 0 && len(content) == 2
}
