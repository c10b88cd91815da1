package webhooks

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// TestWarningsOfHolds wants one for a time that has passed and for a member that has nothing to keep, short enough for the API server, and
// none for holds that are there already.
func TestWarningsOfHolds(t *testing.T) {
	const longest = 256
	name := strings.Repeat("n", 40)
	held := func(hours int) func(*meshv1alpha1.Member) {
		return func(m *meshv1alpha1.Member) {
			m.Hold = &meshv1alpha1.Hold{Reason: "not this month", Until: metav1.NewTime(supported.Add(time.Duration(hours) * time.Hour))}
		}
	}
	east, past, future := member("east", local), installation("shop", member(name, local, held(-1))), installation("shop", member(name, local, held(1)))
	for text, c := range map[string]struct {
		old, inst *meshv1alpha1.MeshInstallation
		want      []string
	}{
		"a new mesh":                     {inst: future},
		"a new mesh, of long ago":        {inst: past, want: []string{"has passed already"}},
		"a hold that is set":             {old: installation("shop", member(name, local)), inst: future},
		"a hold that is set too late":    {old: installation("shop", member(name, local)), inst: past, want: []string{"has passed already"}},
		"a hold that is there":           {old: past, inst: past},
		"a hold that is extended":        {old: past, inst: future},
		"a hold that is shortened":       {old: future, inst: past, want: []string{"has passed already"}},
		"a hold that is removed":         {old: past, inst: installation("shop", member(name, local))},
		"a member that joins":            {old: installation("shop", east), inst: future, want: []string{"cannot select an older release"}},
		"a member that joins, both ways": {old: installation("shop", east), inst: past, want: []string{"has passed already", "cannot select an older release"}},
	} {
		t.Run(text, func(t *testing.T) {
			got := checkHolds(&change{old: c.old, inst: c.inst}, supported)
			if len(got) != len(c.want) {
				t.Fatalf("warnings are %q, want %v", got, c.want)
			}
			for i, w := range got {
				if !strings.Contains(w, c.want[i]) || !strings.HasPrefix(w, "spec.members["+name+"].hold") || len(w) > longest {
					t.Errorf("warning of %d characters, want %q: %s", len(w), c.want[i], w)
				}
			}
		})
	}
	warnings, err := newValidator(t).ValidateUpdate(t.Context(), future, past)
	if err != nil || !strings.Contains(strings.Join(warnings, "\n"), "has passed already") {
		t.Errorf("admission: warnings %q, error %v", warnings, err)
	}
}
