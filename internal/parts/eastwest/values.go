package eastwest

import (
	"cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// The defaults of ReplicaRange, for work orders that were written before the API had them.
const defaultLeastGateways, defaultMostGateways = 2, 5

// LeastGateways is the least number of replicas of a member's gateway.
func LeastGateways(m *meshv1alpha1.MeshMemberSpec) int32 {
	return cmp.Or(m.GatewayReplicas.Min, defaultLeastGateways)
}

// replicas are the bounds of the autoscaler.
func replicas(m *meshv1alpha1.MeshMemberSpec) (least, most int64) {
	least = int64(LeastGateways(m))
	return least, max(int64(cmp.Or(m.GatewayReplicas.Max, defaultMostGateways)), least)
}

// GatewayValues are the values of the gateway chart for a member's east-west gateway of a revision.
func GatewayValues(m *meshv1alpha1.MeshMemberSpec, revision string) (map[string]any, error) {
	settings := mesh.GatewayOf(m, revision)
	user, err := mesh.Values(settings.Values)
	if err != nil {
		return nil, err
	}
	annotations := map[string]any{}
	for k, v := range settings.Annotations {
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
	platform, err := platformValues(m, revision)
	if err != nil {
		return nil, err
	}
	defaults := mesh.Merge(mesh.Merge(map[string]any{"readinessProbe": probe}, inPlaceValues(settings.Replacement)), platform)
	if _, isSet := user["podDisruptionBudget"]; !isSet {
		// Not merged: a budget has minAvailable or maxUnavailable, never both. A pod that is not ready protects nothing.
		defaults["podDisruptionBudget"] = map[string]any{"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
	}
	least, most := replicas(m)
	return mesh.Merge(mergeDefaults(defaults, user), map[string]any{
		"name":           mesh.GatewayName(mesh.GatewayKey(m, revision)),
		"revision":       revision,
		"labels":         map[string]any{"istio": mesh.GatewayLabel},
		"networkGateway": m.Network,
		"autoscaling": map[string]any{
			"enabled":     true,
			"minReplicas": least,
			"maxReplicas": most,
		},
		"service": map[string]any{
			"type":        "LoadBalancer",
			"annotations": annotations,
		},
	}), nil
}

// mergeDefaults lays the user's values over the operator's defaults. As in Helm, null takes a default away.
func mergeDefaults(defaults, user map[string]any) map[string]any {
	out := mesh.Merge(defaults, user)
	for k, d := range defaults {
		below, isMap := d.(map[string]any)
		over, isMapToo := user[k].(map[string]any)
		switch {
		case out[k] == nil:
			delete(out, k)
		case isMap && isMapToo:
			out[k] = mergeDefaults(below, over)
		}
	}
	return out
}

// platformValues pass the platform of the control plane on: each chart reads its own.
func platformValues(m *meshv1alpha1.MeshMemberSpec, revision string) (map[string]any, error) {
	for i := range m.Revisions {
		if m.Revisions[i].Name != revision {
			continue
		}
		istiod, err := mesh.Values(m.Revisions[i].Values)
		if err != nil {
			return nil, err
		}
		global, _ := istiod["global"].(map[string]any)
		for _, values := range []map[string]any{istiod, global} {
			if platform, _ := values["platform"].(string); platform != "" {
				return map[string]any{"global": map[string]any{"platform": platform}}, nil
			}
		}
	}
	return nil, nil
}

// inPlaceValues let a new pod serve before an old one goes, which then stays as long as a peer has a connection to it,
// up to five minutes. Peers keep connections open for the next request, and nothing tells them to close these: the
// address stays. So most of what is still in use after seconds is in use for good, and waiting longer saves little.
func inPlaceValues(replacement meshv1alpha1.GatewayReplacement) map[string]any {
	if replacement != meshv1alpha1.GatewayReplacementInPlace {
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
