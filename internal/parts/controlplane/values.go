package controlplane

import (
	"errors"
	"slices"
	"text/template"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// IstiodValues are the values of the istiod chart for one revision of a member: the user's with the operator's own on
// top. Two of these make a later rotation of the root possible without restarting anything, and work only if they are
// on from the first revision: istiod hands out several roots, and proxies subscribe to changes of the bundle.
func IstiodValues(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (map[string]any, error) {
	user, err := mesh.Values(r.Values)
	if err != nil {
		return nil, err
	}
	aliases, err := trustDomainAliases(user, m.TrustDomain, r.Version)
	if err != nil {
		return nil, err
	}
	return mesh.Merge(mesh.Merge(user, aliases), map[string]any{
		"revision": r.Name,
		"env":      map[string]any{"ISTIO_MULTIROOT_MESH": "true"},
		"global": map[string]any{
			"meshID":         m.MeshID,
			"network":        m.Network,
			"istioNamespace": m.ControlPlaneNamespace,
			"multiCluster":   map[string]any{"clusterName": m.Cluster},
		},
		"meshConfig": map[string]any{
			"trustDomain": m.TrustDomain,
			"defaultConfig": map[string]any{
				"proxyMetadata": map[string]any{"PROXY_CONFIG_XDS_AGENT": "true"},
			},
		},
	}), nil
}

// InjectsByDefault reports whether the default tag of a revision also injects where no label asks for a proxy.
func InjectsByDefault(r *meshv1alpha1.Revision) (bool, error) {
	values, err := mesh.Values(r.Values)
	if err != nil {
		return false, err
	}
	injector, _ := values["sidecarInjectorWebhook"].(map[string]any)
	// As the template of the chart asks.
	isOn, _ := template.IsTrue(injector["enableNamespacesByDefault"])
	return isOn, nil
}

// trustDomainAliases names the mesh's own trust domain as an alias where istiod may take an identity in a peer for one
// without it. Istiod expects every identity in the domains of all aliases too, and thus in the right one again.
func trustDomainAliases(user map[string]any, trustDomain, version string) (map[string]any, error) {
	release, _ := istioversion.Of(version)
	if !release.MisreadsPeerTrustDomain {
		return nil, nil
	}
	config, _ := user["meshConfig"].(map[string]any)
	aliases, isList := config["trustDomainAliases"].([]any)
	if !isList && config["trustDomainAliases"] != nil {
		return nil, errors.New("meshConfig.trustDomainAliases must be a list of trust domains")
	}
	if !slices.Contains(aliases, any(trustDomain)) {
		aliases = append(slices.Clone(aliases), trustDomain)
	}
	return map[string]any{"meshConfig": map[string]any{"trustDomainAliases": aliases}}, nil
}

// BaseValues are the values of the base chart. Its default validator must point at a revision that lives, else every
// write of Istio configuration is refused once that webhook fails closed.
func BaseValues(namespace, defaultRevision string) map[string]any {
	return map[string]any{
		"defaultRevision": defaultRevision,
		"global":          map[string]any{"istioNamespace": namespace},
	}
}
