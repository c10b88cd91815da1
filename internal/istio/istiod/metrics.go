package istiod

import (
	"context"
	"io"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// Sample is one value of a counter or a gauge.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Metrics asks an istiod pod for its counters and gauges, by name. A counter that has never counted is not in the
// result.
func Metrics(ctx context.Context, cfg *rest.Config, namespace, pod string) (map[string][]Sample, error) {
	var metrics map[string][]Sample
	err := askPort(ctx, cfg, namespace, pod, monitoringPort, "/metrics", func(body io.Reader) (err error) {
		metrics, err = parseMetrics(body)
		return err
	})
	return metrics, err
}

// signingEnd is the end of the first certificate of the chain with which istiod signs, Unix time. It is set when istiod starts and whenever it
// has taken over a new chain.
const signingEnd = "citadel_server_cert_chain_expiry_timestamp"

// SigningEnd asks an istiod pod for the end of the certificate with which it signs for workloads. Zero: it signs for none.
func SigningEnd(ctx context.Context, cfg *rest.Config, namespace, pod string) (time.Time, error) {
	found, err := Metrics(ctx, cfg, namespace, pod)
	if err != nil || len(found[signingEnd]) == 0 {
		return time.Time{}, err
	}
	return time.Unix(int64(found[signingEnd][0].Value), 0).UTC(), nil
}

func parseMetrics(text io.Reader) (map[string][]Sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, err
	}
	metrics := make(map[string][]Sample, len(families))
	for name, family := range families {
		for _, m := range family.GetMetric() {
			if value, ok := valueOf(m); ok {
				metrics[name] = append(metrics[name], Sample{Labels: labelsOf(m), Value: value})
			}
		}
	}
	return metrics, nil
}

func valueOf(m *dto.Metric) (float64, bool) {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue(), true
	case m.Gauge != nil:
		return m.Gauge.GetValue(), true
	case m.Untyped != nil:
		return m.Untyped.GetValue(), true
	}
	return 0, false
}

func labelsOf(m *dto.Metric) map[string]string {
	labels := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}
