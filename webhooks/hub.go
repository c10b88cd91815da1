package webhooks

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

const hubReadable = "the hub as a member beside others lets every peer read all its Secrets, the root's private key and all kubeconfigs " +
	"among them: name another cluster, or accept it by hubSecrets: ReadableByPeers"

// checkHub refuses the hub as a member whose peers could read its Secrets. A mesh in which they can already is warned, and gets no new
// members. A kubeconfig that leads to the hub is found when its cluster is reached.
func checkHub(c *change) (field.ErrorList, admission.Warnings) {
	var errs field.ErrorList
	var warnings admission.Warnings
	for i := range c.inst.Spec.Members {
		m := &c.inst.Spec.Members[i]
		if !isReadableHub(c.inst, m) {
			continue
		}
		path := memberPath(m.Name).Child("hubSecrets")
		before := c.before(m.Name)
		if before != nil && isReadableHub(c.old, before) && !c.addsMembers() {
			warnings = append(warnings, path.String()+": "+hubReadable)
			continue
		}
		errs = append(errs, field.Forbidden(path, hubReadable))
	}
	return errs, warnings
}

// isReadableHub says whether peers read the Secrets of a member that is the hub, and the spec does not accept it.
func isReadableHub(inst *meshv1alpha1.MeshInstallation, m *meshv1alpha1.Member) bool {
	versions := []string{inst.Spec.Version}
	if running := inst.Status.EffectiveVersion; running != "" {
		versions = append(versions, running)
	}
	return m.ClusterRef.Local != nil && len(inst.Spec.Members) > 1 && m.HubSecrets != meshv1alpha1.HubSecretsReadableByPeers &&
		istioversion.ReadPeerSecrets(versions...)
}

// addsMembers says whether a member is new.
func (c *change) addsMembers() bool {
	return slices.ContainsFunc(c.inst.Spec.Members, func(m meshv1alpha1.Member) bool { return c.before(m.Name) == nil })
}
