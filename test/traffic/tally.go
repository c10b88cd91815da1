package traffic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/test/harness"
)

// tally counts answers by what matters: the serving cluster for those with status 200, else the status or the error.
type tally struct {
	total    int
	served   map[string]int
	statuses map[int]int
	errors   map[string]int
}

// count sends n requests from a client and counts the answers.
func count(ctx context.Context, from harness.Client, request harness.Request, n int) (tally, error) {
	request.Count = n
	answers, err := from.Send(ctx, request)
	if err != nil {
		return tally{}, err
	}
	t := tally{total: n, served: map[string]int{}, statuses: map[int]int{}, errors: map[string]int{}}
	for _, a := range answers {
		if a.Status == 0 {
			t.errors[a.Error]++
			continue
		}
		t.statuses[a.Status]++
		if !a.OK() {
			continue
		}
		echo, err := a.Echo()
		if err != nil {
			return tally{}, err
		}
		t.served[echo.Cluster]++
	}
	return t, nil
}

// ok is the number of answers with status 200.
func (t tally) ok() int { return t.statuses[200] }

// String shows the counts in a stable order.
func (t tally) String() string {
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(t.served)) {
		parts = append(parts, fmt.Sprintf("%d served in %s", t.served[c], c))
	}
	for _, s := range slices.Sorted(maps.Keys(t.statuses)) {
		if s != 200 {
			parts = append(parts, fmt.Sprintf("%d with status %d", t.statuses[s], s))
		}
	}
	for _, e := range slices.Sorted(maps.Keys(t.errors)) {
		parts = append(parts, fmt.Sprintf("%d without an answer (%s)", t.errors[e], e))
	}
	return fmt.Sprintf("of %d requests: %s", t.total, strings.Join(parts, ", "))
}
