package builtin

import (
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

func TestConfigAccepted(t *testing.T) {
	const alive = `"istio_build":[{"Labels":{"component":"pilot"},"Value":1}]`
	tests := map[string]struct {
		answers string
		want    meshv1alpha1.Verdict
		words   string
	}{
		"no pod answers":               {`{}`, meshv1alpha1.VerdictInconclusive, "no istiod pod"},
		"counters that do not exist":   {`{"a":{` + alive + `}}`, meshv1alpha1.VerdictPass, "no rejections in 1 istiod pod"},
		"a pod with no metric of ours": {`{"a":{` + alive + `},"b":{"go_goroutines":[{"Value":3}]}}`, meshv1alpha1.VerdictInconclusive, "b"},
		"pushes that were sent": {`{"a":{` + alive + `,"pilot_xds_pushes":[{"Labels":{"type":"cds"},"Value":8},{"Labels":{"type":"cds_senderr"},"Value":0}]}}`,
			meshv1alpha1.VerdictPass, "no rejections"},
		"rejections of two pods": {`{"a":{` + alive + `,"pilot_total_xds_rejects":[{"Labels":{"type":"lds"},"Value":2}],
			"pilot_xds_lds_reject":[{"Labels":{"node":"web-0.demo","err":"x"},"Value":2},{"Labels":{"node":"old-0.demo","err":"x"},"Value":0}]},
			"b":{` + alive + `,"pilot_total_xds_rejects":[{"Labels":{"type":"lds"},"Value":1},{"Labels":{"type":"cds"},"Value":1}]}}`,
			meshv1alpha1.VerdictFail, "rejected cds: 1, rejected lds: 3; rejected by web-0.demo"},
		"a push that could not be sent": {`{"a":{` + alive + `,"pilot_xds_pushes":[{"Labels":{"type":"eds_senderr"},"Value":1}]}}`,
			meshv1alpha1.VerdictFail, "unsent eds: 1"},
		"an internal error": {`{"a":{"pilot_total_xds_internal_errors":[{"Value":2}]}}`, meshv1alpha1.VerdictFail, "internal errors: 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			gatetest.Check(t, judgeMetrics(gatetest.Subject(), gatetest.Decode[map[string][]istiod.Sample](t, test.answers)), test.want, test.words)
		})
	}
}
