// Package custom has the gates that users configure: webhooks, and measurements in Prometheus.
package custom

import (
	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

// BeforeTraffic are the webhooks: there is no traffic to measure yet.
func BeforeTraffic(specs []meshv1alpha1.Gate) []gate.Gate {
	var gates []gate.Gate
	for i := range specs {
		if w := specs[i].Webhook; w != nil {
			gates = append(gates, newWebhookGate(specs[i].Name, w))
		}
	}
	return gates
}

// WithTraffic are the webhooks and the measurements.
func WithTraffic(specs []meshv1alpha1.Gate) []gate.Gate {
	gates := BeforeTraffic(specs)
	for i := range specs {
		if p := specs[i].Prometheus; p != nil {
			gates = append(gates, newMeasurement(specs[i].Name, p))
		}
	}
	return gates
}

// Comparisons are the measurements that compare the new revision with the old one.
func Comparisons(specs []meshv1alpha1.Gate) []gate.Gate {
	var gates []gate.Gate
	for i := range specs {
		if p := specs[i].Prometheus; p != nil && p.Compare != "" {
			gates = append(gates, newMeasurement(specs[i].Name, p))
		}
	}
	return gates
}
