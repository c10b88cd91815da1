package crd

import (
	"strings"
	"testing"
)

// TestHolds wants a hold to have a reason and a time, and the API server to say so where it has not.
func TestHolds(t *testing.T) {
	const until = `until: "2026-06-01T00:00:00Z"`
	cases := map[string]struct {
		hold string
		// wantField is what comes after that of the hold. Without an error nothing is wanted.
		wantField, wantError string
	}{
		"both":                            {hold: `{reason: no capacity, ` + until + `}`},
		"the longest reason":              {hold: `{reason: ` + strings.Repeat("a", 256) + `, ` + until + `}`},
		"a reason that is too long":       {`{reason: ` + strings.Repeat("a", 257) + `, ` + until + `}`, ".reason", "may not be more than 256"},
		"no reason":                       {`{` + until + `}`, ".reason", "Required"},
		"an empty reason":                 {`{reason: "", ` + until + `}`, ".reason", "at least 1 chars long"},
		"no time":                         {`{reason: no capacity}`, ".until", "Required"},
		"a day without a time":            {`{reason: no capacity, until: "2026-06-01"}`, ".until", "date-time"},
		"a time of no zone":               {`{reason: no capacity, until: "2026-06-01T00:00:00"}`, ".until", "date-time"},
		"a duration":                      {`{reason: no capacity, until: 720h}`, ".until", "date-time"},
		"a text, where an object must be": {`until May`, "", "must be of type object"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			errs := installations.validate(merge(parse(t, installationBase), parse(t, `spec: {members: [{name: east, clusterRef: {local: {}}, hold: `+c.hold+`}]}`)), nil)
			switch {
			case c.wantError == "" && len(errs) > 0:
				t.Errorf("rejected: %v", errs)
			case c.wantError != "" && (len(errs) == 0 || errs[0].Field != "spec.members[0].hold"+c.wantField || !strings.Contains(errs[0].Error(), c.wantError)):
				t.Errorf("want an error at %s that contains %q, got %v", c.wantField, c.wantError, errs)
			}
		})
	}
}
