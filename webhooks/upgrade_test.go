package webhooks

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestCheckWaves(t *testing.T) {
	wave := func(schedule, zone, orderBy string) *meshv1alpha1.Wave {
		return &meshv1alpha1.Wave{Name: "rest", OrderBy: orderBy, Window: &meshv1alpha1.MaintenanceWindow{Schedule: schedule, TimeZone: zone}}
	}
	cases := map[string]struct {
		old, wave *meshv1alpha1.Wave
		want      []string // fields
	}{
		"a wave without a window":          {wave: &meshv1alpha1.Wave{Name: "rest"}},
		"a good window":                    {wave: wave("0 22 * * 1-4", "Europe/Berlin", "example.com/rank")},
		"no schedule":                      {wave: wave("nightly", "", ""), want: []string{"spec.upgrade.waves[rest].window.schedule"}},
		"a day that does not exist":        {wave: wave("0 0 31 2 *", "", ""), want: []string{"spec.upgrade.waves[rest].window.schedule"}},
		"a zone that does not exist":       {wave: wave("0 22 * * *", "Berlin", ""), want: []string{"spec.upgrade.waves[rest].window.timeZone"}},
		"an order by what is no label":     {wave: wave("0 22 * * *", "", "a b"), want: []string{"spec.upgrade.waves[rest].orderBy"}},
		"all of it":                        {wave: wave("x", "y", "/"), want: []string{"spec.upgrade.waves[rest].orderBy", "spec.upgrade.waves[rest].window.schedule", "spec.upgrade.waves[rest].window.timeZone"}},
		"what was wrong before may stay":   {old: wave("x", "y", "/"), wave: wave("x", "y", "/")},
		"what was right and becomes wrong": {old: wave("0 22 * * *", "", "a"), wave: wave("0 22 * *", "", "a"), want: []string{"spec.upgrade.waves[rest].window.schedule"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			with := func(w *meshv1alpha1.Wave) *meshv1alpha1.MeshInstallation {
				return installation("shop", func(inst *meshv1alpha1.MeshInstallation) {
					inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{*w}
				})
			}
			change := &change{inst: with(c.wave)}
			if c.old != nil {
				change.old = with(c.old)
			}
			var got []string
			for _, err := range checkWaves(change) {
				got = append(got, err.Field)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}
