package webhooks

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestGatesThatTakeTooLong(t *testing.T) {
	measuring := func(count int32, interval time.Duration, dryRun bool) option {
		return func(i *meshv1alpha1.MeshInstallation) {
			i.Spec.Upgrade.Gates = []meshv1alpha1.Gate{
				{Name: "ConfigValid"}, {Name: "hook", Webhook: &meshv1alpha1.WebhookGate{}},
				{Name: "slo", DryRun: dryRun, Prometheus: &meshv1alpha1.PrometheusGate{Count: count, Interval: &metav1.Duration{Duration: interval}}},
			}
		}
	}
	deadline := func(d time.Duration) option {
		return func(i *meshv1alpha1.MeshInstallation) {
			i.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", ProgressDeadline: &metav1.Duration{Duration: d}}}
		}
	}
	east := member("east", local)
	for name, test := range map[string]struct {
		old, inst *meshv1alpha1.MeshInstallation
		refused   bool
	}{
		"less than the default deadline":  {inst: installation("shop", east, measuring(29, time.Minute, false))},
		"as long as the default deadline": {inst: installation("shop", east, measuring(30, time.Minute, false)), refused: true},
		"as long, but nothing waits":      {inst: installation("shop", east, measuring(30, time.Minute, true))},
		"less than the wave's deadline":   {inst: installation("shop", east, measuring(30, time.Minute, false), deadline(time.Hour))},
		"as long as the wave's deadline":  {inst: installation("shop", east, measuring(3, 20*time.Second, false), deadline(time.Minute)), refused: true},
		"the default pace":                {inst: installation("shop", east, measuring(0, time.Minute, false), deadline(3*time.Minute)), refused: true},
		"while all members are held": {inst: installation("shop", member("east", local, func(m *meshv1alpha1.Member) { m.Hold = &meshv1alpha1.Hold{Reason: "r"} }),
			measuring(30, time.Minute, false)), refused: true},
		"a problem that was there already": {old: installation("shop", east, measuring(30, time.Minute, false)), inst: installation("shop", east, version("1.29.2"), measuring(30, time.Minute, false))},
	} {
		t.Run(name, func(t *testing.T) {
			errs := checkGates(&change{old: test.old, inst: test.inst})
			if (len(errs) > 0) != test.refused {
				t.Errorf("errors are %v, refused: %t", errs, test.refused)
			}
			for _, err := range errs {
				if err.Field != "spec.upgrade.gates[slo].prometheus.count" || !strings.Contains(err.Detail, "progressDeadline") {
					t.Errorf("error is %v", err)
				}
			}
		})
	}
}
