package webhooks

import (
	"fmt"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkGates refuses measurements that take longer than a wave gives a member for all of a stage: every upgrade would
// fail for the deadline.
func checkGates(c *change) field.ErrorList {
	spec := &c.inst.Spec.Upgrade
	if c.old != nil && equality.Semantic.DeepEqual(c.old.Spec.Upgrade, *spec) {
		return nil
	}
	waves, err := upgrade.Waves(withoutHolds(c.inst))
	if err != nil {
		// It is reported by a condition, and no upgrade starts: which members there are may yet change.
		return nil
	}
	var errs field.ErrorList
	for i := range spec.Gates {
		g := &spec.Gates[i]
		if g.Prometheus == nil || g.DryRun {
			continue
		}
		count, interval := mesh.Pace(g.Prometheus)
		for _, w := range waves {
			if lasts := time.Duration(count) * interval; lasts >= w.ProgressDeadline.Duration {
				path := field.NewPath("spec", "upgrade", "gates").Key(g.Name).Child("prometheus", "count")
				errs = append(errs, field.Invalid(path, count, fmt.Sprintf(
					"%d measurements with an interval of %s take %s, and the progressDeadline of wave %q is %s: measure less often or give the wave more time",
					count, interval, lasts, w.Name, w.ProgressDeadline.Duration)))
				break
			}
		}
	}
	return errs
}

// withoutHolds is the installation when all its holds are removed: that changes no gate, and is not checked again.
func withoutHolds(inst *meshv1alpha1.MeshInstallation) *meshv1alpha1.MeshInstallation {
	inst = inst.DeepCopy()
	for i := range inst.Spec.Members {
		inst.Spec.Members[i].Hold = nil
	}
	return inst
}
