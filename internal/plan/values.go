package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// Values reads a values field. Empty is an empty map. Error: the field is not a map.
func Values(raw *apiextensionsv1.JSON) (map[string]any, error) {
	values := map[string]any{}
	if raw == nil || len(raw.Raw) == 0 {
		return values, nil
	}
	if err := json.Unmarshal(raw.Raw, &values); err != nil {
		return nil, fmt.Errorf("values must be a map of the chart's values: %w", err)
	}
	if values == nil {
		// null
		return map[string]any{}, nil
	}
	return values, nil
}

// Merge lays over on base, map by map; anything else in over replaces what base has. Neither is changed.
func Merge(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		a, aIsMap := out[k].(map[string]any)
		b, bIsMap := v.(map[string]any)
		if aIsMap && bIsMap {
			out[k] = Merge(a, b)
			continue
		}
		out[k] = v
	}
	return out
}

// IstiodValues are the values of the istiod chart for one revision of a member: the user's with the operator's own on
// top. Two of these make a later rotation of the root possible without restarting anything, and work only if they are
// on from the first revision: istiod hands out several roots, and proxies subscribe to changes of the bundle.
func IstiodValues(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (map[string]any, error) {
	user, err := Values(r.Values)
	if err != nil {
		return nil, err
	}
	aliases, err := trustDomainAliases(user, m.TrustDomain, r.Version)
	if err != nil {
		return nil, err
	}
	return Merge(Merge(user, aliases), map[string]any{
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

// trustDomainAliases names the mesh's own trust domain as an alias where istiod may take an identity in a peer for one
// without it. Istiod expects every identity in the domains of all aliases too, and thus in the right one again.
func trustDomainAliases(user map[string]any, trustDomain, version string) (map[string]any, error) {
	release, _ := istioversion.Lookup(version)
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
func BaseValues(m *meshv1alpha1.MeshMemberSpec) map[string]any {
	return map[string]any{
		"defaultRevision": m.DefaultRevision,
		"global":          map[string]any{"istioNamespace": m.ControlPlaneNamespace},
	}
}

// The defaults of ReplicaRange, for work orders that were written before the API had them.
const defaultLeastGateways, defaultMostGateways = 2, 5

// LeastGateways is the least number of replicas of a member's gateway.
func LeastGateways(m *meshv1alpha1.MeshMemberSpec) int32 {
	return cmp.Or(m.Gateway.Replicas.Min, defaultLeastGateways)
}

// GatewayValues are the values of the gateway chart for a member's east-west gateway of a revision.
func GatewayValues(m *meshv1alpha1.MeshMemberSpec, revision string) (map[string]any, error) {
	user, err := Values(m.Gateway.Values)
	if err != nil {
		return nil, err
	}
	annotations := map[string]any{}
	for k, v := range m.Gateway.Service.Annotations {
		annotations[k] = v
	}
	// The injector's default asks every 15 s and gives up after a minute. A gateway that misses the first question would
	// be ready that much later; asked more often it has the same minute.
	probe := map[string]any{
		"httpGet":       map[string]any{"path": "/healthz/ready", "port": 15021},
		"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 30,
	}
	own, _ := user["readinessProbe"].(map[string]any)
	for _, handler := range []string{"exec", "grpc", "tcpSocket"} {
		if own[handler] != nil {
			// A probe has one handler.
			delete(probe, "httpGet")
		}
	}
	defaults := Merge(map[string]any{"readinessProbe": probe}, inPlaceValues(m))
	if _, isSet := user["podDisruptionBudget"]; !isSet {
		// Not merged: a budget has minAvailable or maxUnavailable, never both. A pod that is not ready protects nothing.
		defaults["podDisruptionBudget"] = map[string]any{"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
	}
	least := LeastGateways(m)
	return Merge(Merge(defaults, user), map[string]any{
		"name":           GatewayName(GatewayKey(m, revision)),
		"revision":       revision,
		"labels":         map[string]any{"istio": GatewayLabel},
		"networkGateway": m.Network,
		"autoscaling": map[string]any{
			"enabled":     true,
			"minReplicas": least,
			"maxReplicas": max(cmp.Or(m.Gateway.Replicas.Max, defaultMostGateways), least),
		},
		"service": map[string]any{
			"type":        "LoadBalancer",
			"annotations": annotations,
		},
	}), nil
}

// inPlaceValues let a new pod serve before an old one goes, which then stays as long as a peer has a connection to it,
// up to five minutes. Peers keep connections open for the next request, and nothing tells them to close these: the
// address stays. So most of what is still in use after seconds is in use for good, and waiting longer saves little.
func inPlaceValues(m *meshv1alpha1.MeshMemberSpec) map[string]any {
	if m.Gateway.Replacement != meshv1alpha1.GatewayReplacementInPlace {
		return nil
	}
	return map[string]any{
		"strategy":                      map[string]any{"rollingUpdate": map[string]any{"maxUnavailable": 0, "maxSurge": "100%"}},
		"terminationGracePeriodSeconds": 300,
		"env": map[string]any{
			"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true",
			// Connections that have just been made count, too.
			"MINIMUM_DRAIN_DURATION": "10s",
		},
	}
}
