package webhooks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

// checkWaves refuses maintenance windows that never open and orders by what can be no label.
func checkWaves(c *change) field.ErrorList {
	var errs field.ErrorList
	for i := range c.inst.Spec.Upgrade.Waves {
		w := &c.inst.Spec.Upgrade.Waves[i]
		before := c.waveBefore(w.Name)
		path := field.NewPath("spec", "upgrade", "waves").Key(w.Name)
		if w.OrderBy != "" && (before == nil || before.OrderBy != w.OrderBy) {
			if problems := validation.IsQualifiedName(w.OrderBy); len(problems) > 0 {
				errs = append(errs, field.Invalid(path.Child("orderBy"), w.OrderBy, "is no key of a label: "+strings.Join(problems, "; ")))
			}
		}
		if w.Window == nil || before != nil && equality.Semantic.DeepEqual(before.Window, w.Window) {
			continue
		}
		if _, err := upgrade.ParseSchedule(w.Window.Schedule); err != nil {
			errs = append(errs, field.Invalid(path.Child("window", "schedule"), w.Window.Schedule, err.Error()))
		}
		if _, err := upgrade.ParseTimeZone(w.Window.TimeZone); err != nil {
			errs = append(errs, field.Invalid(path.Child("window", "timeZone"), w.Window.TimeZone, err.Error()))
		}
	}
	return errs
}

// waveBefore is the wave as it was. Nil: it is new.
func (c *change) waveBefore(name string) *meshv1alpha1.Wave {
	if c.old == nil {
		return nil
	}
	i := slices.IndexFunc(c.old.Spec.Upgrade.Waves, func(w meshv1alpha1.Wave) bool { return w.Name == name })
	if i < 0 {
		return nil
	}
	return &c.old.Spec.Upgrade.Waves[i]
}

// checkHolds warns of a hold whose time has passed already, and of one of a member that joins: it has no revision to keep yet.
func checkHolds(c *change, now time.Time) admission.Warnings {
	var warnings admission.Warnings
	for i := range c.inst.Spec.Members {
		m := &c.inst.Spec.Members[i]
		before := c.before(m.Name)
		if m.Hold == nil || before != nil && equality.Semantic.DeepEqual(before.Hold, m.Hold) {
			continue
		}
		path := memberPath(m.Name).Child("hold")
		if !now.Before(m.Hold.Until.Time) {
			warnings = append(warnings, fmt.Sprintf("%s: %s has passed already. The member is held until the field is removed, and the condition %s is False",
				path.Child("until"), m.Hold.Until.UTC().Format(time.RFC3339), meshv1alpha1.ConditionHoldsCurrent))
		}
		if c.old != nil && before == nil {
			warnings = append(warnings, fmt.Sprintf("%s: a member that joins gets the revision of the mesh, and keeps it from then on; a hold cannot select an older release", path))
		}
	}
	return warnings
}
