package mesh

import (
	"slices"
	"strconv"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// MemberName is the name of the MeshMember of a member.
func MemberName(installation, member string) string { return installation + "-" + member }

// CASecretName is the name of the hub Secret with a member's intermediate, and of its Certificate.
func CASecretName(installation, member string) string { return installation + "-" + member + "-ca" }

// MemberOfCASecret is the member whose CASecretName a name is.
func MemberOfCASecret(installation, secret string) (member string, ok bool) {
	return between(secret, installation+"-", "-ca")
}

// ReaderSecretName is the name of the hub Secret with the kubeconfig by which peers read a member.
func ReaderSecretName(installation, member string) string {
	return installation + "-" + member + "-reader"
}

// MemberOfReaderSecret is the member whose ReaderSecretName a name is.
func MemberOfReaderSecret(installation, secret string) (member string, ok bool) {
	return between(secret, installation+"-", "-reader")
}

// between is the middle of a text that begins and ends so.
func between(text, prefix, suffix string) (string, bool) {
	rest, isPrefixed := strings.CutPrefix(text, prefix)
	middle, isSuffixed := strings.CutSuffix(rest, suffix)
	return middle, isPrefixed && isSuffixed
}

// SnapshotName is the name of the hub Secret that holds a MeshMember while it is made again.
func SnapshotName(meshMember string) string { return meshMember + "-snapshot" }

// RootName is the name of the root's Certificate, its Secret and the issuer that signs with it.
func RootName(installation string) string { return installation + "-root" }

// SelfSignedIssuerName is the name of the issuer that signs the root with its own key.
func SelfSignedIssuerName(installation string) string { return installation + "-selfsigned" }

// RevisionName is the name of the revision that consists of a version alone: dots are not allowed in it.
func RevisionName(version string) string { return strings.ReplaceAll(version, ".", "-") }

// PinnedGateway is the key of a gateway that is replaced in place. No revision has that name: theirs begin with a digit.
const PinnedGateway = "pinned"

// GatewayKey tells the gateways of a member apart: by the revision, or the one key of a gateway that is replaced in
// place. A revision with another replacement has another key, and so another gateway, which replaces the former.
func GatewayKey(m *meshv1alpha1.MeshMemberSpec, revision string) string {
	if GatewayOf(m, revision).Replacement == meshv1alpha1.GatewayReplacementInPlace {
		return PinnedGateway
	}
	return revision
}

// GatewayOf are the settings of the gateway of a revision of a work order. Empty: the work order has no such revision.
func GatewayOf(m *meshv1alpha1.MeshMemberSpec, revision string) meshv1alpha1.RevisionGateway {
	for i := range m.Revisions {
		if m.Revisions[i].Name == revision {
			return m.Revisions[i].Gateway
		}
	}
	return meshv1alpha1.RevisionGateway{}
}

// GatewayName is the name of the Deployment and Service of the east-west gateway of a key. Gateways of two revisions live
// side by side while one replaces the other, so that peers can be told of the new one before the old one goes. The name
// of the pinned one is that of Istio's own guides.
func GatewayName(key string) string {
	if key == PinnedGateway {
		return "istio-eastwestgateway"
	}
	return "istio-eastwestgateway-" + key
}

// GatewayLabel is the value of the label `istio` on the pods of every east-west gateway, by which the listener finds
// them. It is the one of Istio's own guides.
const GatewayLabel = "eastwestgateway"

// ApprovalName is the name of the MeshApproval of a wave of which that many approvals have expired. The names of waves contain no dots.
func ApprovalName(upgrade, wave string, expired int) string {
	name := upgrade + "-" + wave
	if expired > 0 {
		name += "." + strconv.Itoa(expired+1)
	}
	return name
}

// UpgradeName is the name of the record of an upgrade to a target. A mesh may come to a target again, by way of another:
// then the record gets a number.
func UpgradeName(installation string, to meshv1alpha1.RevisionTarget, history []meshv1alpha1.MeshUpgrade) string {
	base := installation + "-" + RevisionName(to.Version) + "-" + to.Hash
	name := base
	for n := 2; slices.ContainsFunc(history, func(u meshv1alpha1.MeshUpgrade) bool { return u.Name == name }); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	return name
}
