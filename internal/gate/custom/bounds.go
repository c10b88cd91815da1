package custom

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// bounds hold a number. Nil is no bound.
type bounds struct{ min, max *float64 }

func newBounds(lowest, highest meshv1alpha1.Number) (bounds, error) {
	var b bounds
	var err error
	if b.min, err = parse(lowest); err != nil {
		return b, err
	}
	if b.max, err = parse(highest); err != nil {
		return b, err
	}
	if b.min == nil && b.max == nil {
		return b, errors.New("neither min nor max is set")
	}
	return b, nil
}

func (b bounds) hold(v float64) bool { return b.excess(v) <= 0 }

// excess is how far a number is out of bounds; below zero it is within.
func (b bounds) excess(v float64) float64 {
	worst := math.Inf(-1)
	if b.max != nil {
		worst = max(worst, v-*b.max)
	}
	if b.min != nil {
		worst = max(worst, *b.min-v)
	}
	return worst
}

func (b bounds) String() string {
	var parts []string
	if b.min != nil {
		parts = append(parts, ">= "+strconv.FormatFloat(*b.min, 'g', -1, 64))
	}
	if b.max != nil {
		parts = append(parts, "<= "+strconv.FormatFloat(*b.max, 'g', -1, 64))
	}
	return strings.Join(parts, " and ")
}

func parse(n meshv1alpha1.Number) (*float64, error) {
	if n == "" {
		return nil, nil
	}
	v, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no number", n)
	}
	return &v, nil
}
