package custom

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// errNoNumber means that a query was answered, but with nothing to judge by.
var errNoNumber = errors.New("no number")

// asker asks one Prometheus about one member.
type asker struct {
	member *gate.Subject
	spec   *meshv1alpha1.PrometheusGate
	api    promv1.API
}

// series is one number and its labels.
type series struct {
	labels string
	value  float64
}

// read takes one reading: of several series the one that is furthest out of bounds, or closest to being so.
func read(ctx context.Context, m *gate.Subject, spec *meshv1alpha1.PrometheusGate, limits bounds) (reading, error) {
	target, err := connect(ctx, m, spec.GateServer)
	if err != nil {
		return reading{}, err
	}
	defer target.CloseIdleConnections()
	apiClient, err := api.NewClient(api.Config{Address: target.url, Client: target.Client})
	if err != nil {
		return reading{}, plain(err)
	}
	a := asker{member: m, spec: spec, api: promv1.NewAPI(apiClient)}
	if spec.Compare != "" {
		return a.compare(ctx)
	}
	all, err := a.side(ctx, m.To, m.ToVersion)
	if err != nil {
		return unread(err)
	}
	worst := all[0]
	for _, s := range all[1:] {
		if limits.excess(s.value) > limits.excess(worst.value) {
			worst = s
		}
	}
	r := reading{value: worst.value}
	if len(all) > 1 {
		r.what = fmt.Sprintf("of %d series %s ", len(all), worst.labels)
	}
	return r, nil
}

// unread separates a query that has no number yet from one that could not be sent.
func unread(err error) (reading, error) {
	if errors.Is(err, errNoNumber) || errors.Is(err, errNoPods) {
		return reading{why: err.Error()}, nil
	}
	return reading{}, err
}

// compare measures the new revision against the old one. Nothing to compare with is final: pods of the old revision do not
// come back.
func (a asker) compare(ctx context.Context) (reading, error) {
	m := a.member
	former, err := a.one(ctx, m.From, m.FromVersion)
	if err != nil {
		r, err := unread(err)
		r.why, r.isOver = "nothing to compare with, of revision "+m.From+": "+r.why, true
		return r, err
	}
	latter, err := a.one(ctx, m.To, m.ToVersion)
	if err != nil {
		return unread(err)
	}
	r := reading{what: fmt.Sprintf("%s now and %s before: %s ", gate.Number(latter), gate.Number(former), strings.ToLower(string(a.spec.Compare)))}
	switch {
	case a.spec.Compare == meshv1alpha1.ComparisonDifference:
		r.value = latter - former
	case former == 0 && latter == 0:
		// Both were measured and are the same.
		r.value = 1
	default:
		r.value = latter / former
	}
	if math.IsNaN(r.value) {
		return reading{why: fmt.Sprintf("%s and %s cannot be compared", gate.Number(latter), gate.Number(former))}, nil
	}
	return r, nil
}

// one asks for a single number of a revision.
func (a asker) one(ctx context.Context, revision, version string) (float64, error) {
	all, err := a.side(ctx, revision, version)
	if err != nil {
		return 0, err
	}
	if len(all) > 1 {
		return 0, fmt.Errorf("the query gives %d series of revision %s; it must give one to be compared", len(all), revision)
	}
	return all[0].value, nil
}

// side asks about one revision, if there is enough of it.
func (a asker) side(ctx context.Context, revision, version string) ([]series, error) {
	if enough := a.spec.Samples; enough != nil {
		least, err := parse(enough.Min)
		if err != nil || least == nil {
			return nil, errors.Join(errors.New("samples.min is no number"), err)
		}
		all, err := a.query(ctx, enough.Query, revision, version)
		if err != nil {
			return nil, fmt.Errorf("samples: %w", err)
		}
		total := 0.0
		for _, s := range all {
			total += s.value
		}
		if total < *least {
			return nil, fmt.Errorf("%w yet: %s samples, at least %s are needed", errNoNumber, gate.Number(total), gate.Number(*least))
		}
	}
	return a.query(ctx, a.spec.Query, revision, version)
}

// query asks one thing. It returns at least one series, and every one has a number.
func (a asker) query(ctx context.Context, query, revision, version string) ([]series, error) {
	text, err := fill(ctx, a.member, query, revision, version)
	if err != nil {
		return nil, err
	}
	result, warnings, err := a.api.Query(ctx, text, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("query Prometheus: %w", plain(err))
	}
	if len(warnings) > 0 {
		// Part of the data may be missing.
		return nil, fmt.Errorf("%w to rely on, Prometheus warns: %s", errNoNumber, mesh.Shorten(strings.Join(warnings, "; "), 300))
	}
	return numbers(result)
}

func numbers(result model.Value) ([]series, error) {
	var all []series
	switch v := result.(type) {
	case *model.Scalar:
		all = append(all, series{value: float64(v.Value)})
	case model.Vector:
		for _, s := range v {
			if s.Histogram != nil {
				return nil, fmt.Errorf("the query gives a histogram (%s); it must give numbers", mesh.Shorten(s.Metric.String(), 100))
			}
			all = append(all, series{labels: mesh.Shorten(s.Metric.String(), 100), value: float64(s.Value)})
		}
	default:
		return nil, fmt.Errorf("the query gives a %s; it must give a scalar or an instant vector", result.Type())
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the result is empty", errNoNumber)
	}
	for _, s := range all {
		if math.IsNaN(s.value) {
			return nil, fmt.Errorf("%w: the result is NaN %s", errNoNumber, s.labels)
		}
	}
	return all, nil
}
