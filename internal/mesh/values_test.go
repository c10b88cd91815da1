package mesh

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

type values = map[string]any

func TestValues(t *testing.T) {
	cases := map[string]struct {
		raw     string
		want    values
		wantErr bool
	}{
		"nothing is an empty map":   {raw: "", want: values{}},
		"null is an empty map":      {raw: "null", want: values{}},
		"a map is itself":           {raw: `{"a": {"b": "c"}}`, want: values{"a": values{"b": "c"}}},
		"a list is refused":         {raw: `["a"]`, wantErr: true},
		"a text is refused":         {raw: `"a"`, wantErr: true},
		"broken JSON is refused":    {raw: `{"a"`, wantErr: true},
		"two documents are refused": {raw: `{} {}`, wantErr: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			field := testutil.JSON(nil)
			field.Raw = []byte(c.raw)
			got, err := Values(field)
			if (err != nil) != c.wantErr {
				t.Fatalf("error is %v, want one: %v", err, c.wantErr)
			}
			if diff := cmp.Diff(c.want, got); diff != "" && !c.wantErr {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
	if got, err := Values(nil); err != nil || got == nil {
		t.Errorf("Values(nil) is %v, %v, want an empty map", got, err)
	}
}

func TestMerge(t *testing.T) {
	cases := map[string]struct{ base, over, want values }{
		"the upper wins":                       {values{"a": 1, "b": 2}, values{"b": 3}, values{"a": 1, "b": 3}},
		"maps are merged at every depth":       {values{"a": values{"b": values{"c": 1}}}, values{"a": values{"b": values{"d": 2}}}, values{"a": values{"b": values{"c": 1, "d": 2}}}},
		"lists are replaced, not joined":       {values{"a": []any{1, 2}}, values{"a": []any{3}}, values{"a": []any{3}}},
		"a map replaces what is no map":        {values{"a": 1}, values{"a": values{"b": 2}}, values{"a": values{"b": 2}}},
		"what is no map replaces a map":        {values{"a": values{"b": 2}}, values{"a": nil}, values{"a": nil}},
		"nothing over nothing is an empty map": {nil, nil, values{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Merge(c.base, c.over)); diff != "" {
				t.Errorf("merged (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClusterDomain(t *testing.T) {
	type values = map[string]any
	cases := map[string]struct {
		values values
		want   string
	}{
		"nothing":          {nil, "cluster.local"},
		"another":          {values{"global": values{"proxy": values{"clusterDomain": "corp.internal"}}}, "corp.internal"},
		"below pilot":      {values{"global": values{"proxy": values{"clusterDomain": "a"}}, "pilot": values{"global": values{"proxy": values{"clusterDomain": "b"}}}}, "b"},
		"an empty one":     {values{"global": values{"proxy": values{"clusterDomain": ""}}}, "cluster.local"},
		"of another type":  {values{"global": values{"proxy": values{"clusterDomain": 7}}}, "cluster.local"},
		"where no map is":  {values{"global": "x", "pilot": "y"}, "cluster.local"},
		"null":             {values{"global": nil}, "cluster.local"},
		"of another value": {values{"global": values{"proxy": values{"logLevel": "info"}}}, "cluster.local"},
	}
	for name, c := range cases {
		if got := ClusterDomain(c.values); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
