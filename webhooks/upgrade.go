package webhooks

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

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
