// Package builtin has the gates that ask istiod and the member itself, and which of them are asked when.
//
// To add a gate, add a file and a line in one of the lists below.
package builtin

import (
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

// soakPace is how often EndpointsComplete is asked while workloads soak: each answer has the endpoints of the whole mesh.
const soakPace = 30 * time.Second

// BeforeTraffic are the gates of a revision that has no traffic yet. ConfigDiff is as specs configure it.
func BeforeTraffic(specs []meshv1alpha1.Gate) []gate.Gate {
	var diff *meshv1alpha1.ConfigDiffGate
	for i := range specs {
		if specs[i].ConfigDiff != nil {
			diff = specs[i].ConfigDiff
		}
	}
	return []gate.Gate{
		gate.NewQuestion(gate.ControlPlaneReady, gate.Patience, controlPlaneReady),
		gate.NewQuestion("PeersSynced", gate.Patience, peersSynced),
		gate.NewQuestion(endpointsCompleteName, gate.EndpointPatience, endpointsComplete),
		gate.NewQuestion(configAcceptedName, gate.LongPatience, configAccepted),
		gate.NewQuestion("ConfigValid", gate.LongPatience, configValid),
		gate.NewQuestion("Injection", gate.Patience, injection),
		newConfigDiff(diff),
	}
}

// WithTraffic are the gates of a revision that workloads use.
func WithTraffic() []gate.Gate {
	return []gate.Gate{
		gate.NewQuestion(gate.ControlPlaneReady, gate.Patience, controlPlaneReady),
		gate.NewQuestion(configAcceptedName, gate.LongPatience, configAccepted),
		gate.NewQuestion(proxiesSyncedName, gate.LongPatience, proxiesSynced),
		gate.Soaking(gate.NewQuestion(endpointsCompleteName, gate.EndpointPatience, endpointsComplete), soakPace),
		gate.NewQuestion("GatewaysProgrammed", gate.Patience, gatewaysProgrammed),
	}
}

// DuringGatewayMove are the gates of proxies, for the time in which the east-west gateway is replaced.
func DuringGatewayMove() []gate.Gate {
	return []gate.Gate{
		gate.NewQuestion(gate.ControlPlaneReady, gate.Patience, controlPlaneReady),
		gate.NewQuestion(configAcceptedName, gate.LongPatience, configAccepted),
		gate.NewQuestion(proxiesSyncedName, gate.LongPatience, proxiesSynced),
	}
}
