package crd

import (
	"strings"
	"testing"
)

// TestTags wants a tag to be an object with a name, and the API server to say so where it is not.
func TestTags(t *testing.T) {
	cases := map[string]struct {
		tags string
		// wantField is empty for what is accepted.
		wantField, wantError string
	}{
		"one":                           {`[{name: prod}]`, "", ""},
		"two":                           {`[{name: prod}, {name: stable}]`, "", ""},
		"a text, as before":             {`[prod]`, "spec.dataPlane.tags[0]", "must be of type object"},
		"a text among objects":          {`[{name: prod}, stable]`, "spec.dataPlane.tags[1]", "must be of type object"},
		"no name":                       {`[{}]`, "spec.dataPlane.tags[0].name", "Required"},
		"the same twice":                {`[{name: prod}, {name: prod}]`, "spec.dataPlane.tags[1]", "Duplicate"},
		"a name that is too long":       {`[{name: ` + strings.Repeat("a", 57) + `}]`, "spec.dataPlane.tags[0].name", "may not be more than 56"},
		"a name of the longest allowed": {`[{name: ` + strings.Repeat("a", 56) + `}]`, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			errs := installations.validate(merge(parse(t, installationBase), parse(t, `spec: {dataPlane: {tags: `+c.tags+`}}`)), nil)
			switch {
			case c.wantField == "" && len(errs) > 0:
				t.Errorf("rejected: %v", errs)
			case c.wantField != "" && (len(errs) == 0 || errs[0].Field != c.wantField || !strings.Contains(errs[0].Error(), c.wantError)):
				t.Errorf("want an error at %s that contains %q, got %v", c.wantField, c.wantError, errs)
			}
		})
	}
}
