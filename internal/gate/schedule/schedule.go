// Package schedule lists which gates are asked when. It alone knows both built-in and custom gates, so that neither of
// those packages needs the other.
package schedule

import (
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/builtin"
	"github.com/meshfleet/meshfleet/internal/gate/custom"
)

// BeforeTraffic are the gates of a revision that has no traffic yet, which is while it is installed.
func BeforeTraffic(specs []meshv1alpha1.Gate) []gate.Gate {
	return gate.WithDryRun(slices.Concat(builtin.BeforeTraffic(specs), custom.BeforeTraffic(specs)), specs)
}

// WithTraffic are the gates of a revision that workloads use.
func WithTraffic(specs []meshv1alpha1.Gate) []gate.Gate {
	return gate.WithDryRun(slices.Concat(builtin.WithTraffic(), custom.WithTraffic(specs)), specs)
}

// DuringGatewayMove are the gates that are asked while the east-west gateway is replaced: built-in ones of proxies.
func DuringGatewayMove(specs []meshv1alpha1.Gate) []gate.Gate {
	return gate.WithDryRun(builtin.DuringGatewayMove(), specs)
}

// BetweenBatches are the gates that are asked between batches of workloads: built-in ones, and while workloads of both
// revisions serve also the comparisons of the two.
func BetweenBatches(specs []meshv1alpha1.Gate, bothServe bool) []gate.Gate {
	gates := builtin.WithTraffic()
	if bothServe {
		gates = append(gates, custom.Comparisons(specs)...)
	}
	return gate.WithDryRun(gates, specs)
}
