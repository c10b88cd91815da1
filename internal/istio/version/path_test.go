package version

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func table(versions ...string) Table {
	var t Table
	for _, v := range versions {
		t = append(t, Release{Version: v, MaxJump: 2})
	}
	return t
}

func TestPath(t *testing.T) {
	all := table("1.25.0", "1.26.1", "1.27.0", "1.27.5", "1.28.3", "1.29.1", "1.30.0", "1.31.0", "2.0.0")
	strict := table("1.27.0", "1.28.3", "1.29.1")
	strict[2].MaxJump = 1
	cases := map[string]struct {
		table    Table
		from, to string
		want     []string
		// wantErr is what the error must name.
		wantErr []string
	}{
		"the same":                               {table: all, from: "1.28.3", to: "1.28.3", want: []string{"1.28.3"}},
		"a patch":                                {table: all, from: "1.27.0", to: "1.27.5", want: []string{"1.27.5"}},
		"the next minor":                         {table: all, from: "1.27.5", to: "1.28.3", want: []string{"1.28.3"}},
		"two minors":                             {table: all, from: "1.27.5", to: "1.29.1", want: []string{"1.29.1"}},
		"from a release that is not known":       {table: all, from: "1.27.9", to: "1.29.1", want: []string{"1.29.1"}},
		"three minors, by the newest in between": {table: all, from: "1.25.0", to: "1.28.3", want: []string{"1.27.5", "1.28.3"}},
		"five minors":                            {table: all, from: "1.26.1", to: "1.31.0", want: []string{"1.28.3", "1.30.0", "1.31.0"}},
		"a release that takes one minor only":    {table: strict, from: "1.27.0", to: "1.29.1", want: []string{"1.28.3", "1.29.1"}},
		"the newest first leads nowhere": {
			table: table("1.26.0", "1.27.0", "1.29.0"), from: "1.24.0", to: "1.29.0", want: []string{"1.26.0", "1.27.0", "1.29.0"}},
		"back by a patch":             {table: all, from: "1.27.5", to: "1.27.0", want: []string{"1.27.0"}},
		"back by two minors":          {table: all, from: "1.29.1", to: "1.27.0", want: []string{"1.27.0"}},
		"back by three minors":        {table: all, from: "1.30.0", to: "1.27.0", wantErr: []string{"1.27.0", "too old"}},
		"no release in between":       {table: table("1.28.3", "1.31.0"), from: "1.26.0", to: "1.31.0", wantErr: []string{"1.29 or 1.30"}},
		"nothing at all in between":   {table: table("1.31.0"), from: "1.26.0", to: "1.31.0", wantErr: []string{"1.27 or 1.28"}},
		"another major version":       {table: all, from: "1.31.0", to: "2.0.0", wantErr: []string{"2.0.0"}},
		"a release that is not known": {table: all, from: "1.28.3", to: "1.29.2", wantErr: []string{"1.29.2 cannot be installed"}},
		"what is no version":          {table: all, from: "latest", to: "1.29.1", wantErr: []string{"latest"}},
		"to what is no version":       {table: all, from: "1.29.1", to: "new", wantErr: []string{"new"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.table.Path(c.from, c.to)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("path (-want +got):\n%s", diff)
			}
			if (err != nil) != (len(c.wantErr) > 0) {
				t.Fatalf("error is %v, want one that names %v", err, c.wantErr)
			}
			for _, want := range c.wantErr {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %q", err, want)
				}
			}
		})
	}
}

// TestEveryReleaseCanBeReached wants a way from each release to every newer one.
func TestEveryReleaseCanBeReached(t *testing.T) {
	for i, from := range Packaged() {
		for _, to := range Packaged()[i:] {
			if _, err := Packaged().Path(from.Version, to.Version); err != nil {
				t.Error(err)
			}
		}
	}
	for _, r := range Packaged() {
		if r.MaxJump == 0 || len(r.Compatibility) == 0 {
			t.Errorf("%s: jumps over %d minor versions, compatible with %v", r.Version, r.MaxJump, r.Compatibility)
		}
	}
}

func TestCheckValues(t *testing.T) {
	type values = map[string]any
	r := Release{Version: "1.29.1", Compatibility: []string{"1.28", "1.27"}, Removed: []ValueRule{
		{Path: "env.OLD", Cure: "use NEW"}, {Path: "global.provider", Is: "kubernetes", Cure: "leave it out"},
	}}
	cases := map[string]struct {
		values values
		want   []string // paths
	}{
		"nothing":                              {},
		"what is fine":                         {values: values{"env": values{"NEW": "1"}, "global": values{"provider": "istiod"}, "compatibilityVersion": "1.28"}},
		"a value that is gone":                 {values: values{"env": values{"OLD": ""}}, want: []string{"env.OLD: istio 1.29.1 does not take this value; use NEW"}},
		"the same below pilot":                 {values: values{"pilot": values{"env": values{"OLD": "1"}}}, want: []string{"pilot.env.OLD: istio 1.29.1 does not take this value; use NEW"}},
		"a null is nothing":                    {values: values{"env": values{"OLD": nil}, "global": nil}},
		"content that is not taken":            {values: values{"global": values{"provider": "kubernetes"}}, want: []string{"global.provider: istio 1.29.1 does not take this value; leave it out"}},
		"a compatibility that is gone":         {values: values{"compatibilityVersion": "1.24"}, want: []string{"compatibilityVersion: istio 1.29.1 does not know 1.24; leave it out, or write one of 1.28, 1.27"}},
		"a compatibility without quotes":       {values: values{"compatibilityVersion": 1.28}},
		"an empty compatibility":               {values: values{"compatibilityVersion": ""}},
		"what should be a map but is not one":  {values: values{"env": "OLD", "global": 3, "pilot": []any{}}},
		"images of another minor version":      {values: values{"global": values{"tag": "1.28.3-distroless"}}, want: []string{"global.tag: the images 1.28.3-distroless are of Istio 1.28, and the version is 1.29.1"}},
		"the same below pilot, and at the top": {values: values{"tag": "v1.30", "pilot": values{"tag": "1.3-alpha.1"}}, want: []string{"pilot.tag: the images 1.3-alpha.1 are of Istio 1.3", "tag: the images v1.30 are of Istio 1.30"}},
		"images of another patch":              {values: values{"global": values{"tag": "1.29.7-fips"}, "tag": "1.29-dev"}},
		"tags that tell no version":            {values: values{"global": values{"tag": "latest"}, "tag": "sha-129", "pilot": values{"tag": 1.29}}},
		"all of it":                            {values: values{"env": values{"OLD": "1"}, "compatibilityVersion": "x"}, want: []string{"compatibilityVersion: ", "env.OLD"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := r.CheckValues(c.values)
			if len(got) != len(c.want) {
				t.Fatalf("problems are %q, want %d", got, len(c.want))
			}
			for i, want := range c.want {
				if !strings.Contains(got[i].String(), want) {
					t.Errorf("problem %q does not name %q", got[i], want)
				}
			}
		})
	}
}

func TestIsWithinSkew(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"1.29.1", "1.29.1", true}, {"1.29.1", "1.29.9", true}, {"1.28.3", "1.29.1", true}, {"1.28.9", "1.30.0", false},
		{"1.9.0", "1.10.0", true}, {"1.31.0", "2.0.0", false}, {"1.31.0", "2.32.0", false}, {"", "1.29.1", false}, {"latest", "latest", false},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			if got := IsWithinSkew(pair[0], pair[1]); got != c.want {
				t.Errorf("%q beside %q: %t, want %t", pair[0], pair[1], got, c.want)
			}
		}
	}
}
