package installation

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
)

// holds reports which members are held, and for which the agreed time has passed. Ready does not depend on it: the time ends nothing.
func holds(inst *meshv1alpha1.MeshInstallation, now time.Time) status.Outcome {
	held := upgrade.HoldsOf(inst)
	until := map[types.NamespacedName]time.Time{}
	for name, hold := range held {
		until[types.NamespacedName{Namespace: inst.Namespace, Name: mesh.MemberName(inst.Name, name)}] = hold.Until.Time
	}
	metrics.SetHolds(client.ObjectKeyFromObject(inst), until)
	return status.Outcome{Type: meshv1alpha1.ConditionHoldsCurrent, Aside: true, Result: judgeHolds(held, now)}
}

// judgeHolds asks to be called again when the time of the next hold passes.
func judgeHolds(held upgrade.Holds, now time.Time) phase.Result {
	overdue, next := held.Overdue(now)
	result := phase.Complete(meshv1alpha1.ReasonReady, "no member is held")
	switch names := held.Names(); {
	case len(overdue) > 0:
		result = phase.Waiting(meshv1alpha1.ReasonHoldOverdue, fmt.Sprintf("%d of %d members that are held have been held for longer than was agreed, and stay so: %s; remove "+
			"spec.members[].hold, or write a later time", len(overdue), len(names), held.List(overdue)), 0)
	case len(names) > 0:
		result.Message = fmt.Sprintf("%d members are held: %s", len(names), held.List(names))
	}
	if !next.IsZero() {
		result.After = next.Sub(now)
	}
	return result
}
