package configdiff

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	gone := Finding{ClustersLost, "cluster a", "is gone"}
	r := &Report{}
	r.Add("x.demo", []Finding{gone, {ClustersLost, "cluster b", "is gone"}, {ClustersLost, "cluster c", "is gone"}, {Changed, "cluster d", "timeout"}})
	r.Add("y.demo", []Finding{gone, {TLSWeakened, "cluster d", "TLS is gone"}, {Added, "cluster e", "is new"}})
	want := `TLSWeakened: TLS is gone: cluster d, seen by y.demo
ClustersLost: is gone: cluster a, cluster b and 1 more, seen by x.demo, y.demo
Changed: timeout: cluster d, seen by x.demo
Added: is new: cluster e, seen by y.demo
`
	if diff := cmp.Diff(want, r.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"x.demo", "y.demo"}, r.Proxies(Harmful())); diff != "" {
		t.Errorf("proxies (-want +got):\n%s", diff)
	}
	if got := r.Count([]Class{ClustersLost, TLSWeakened}); got != 2 {
		t.Errorf("%d changes, want 2", got)
	}
	summary := "TLSWeakened: TLS is gone: cluster d, seen by y.demo; other differences: ClustersLost: is gone (3), Changed: timeout (1), Added: is new (1)"
	if diff := cmp.Diff(summary, r.Summary([]Class{TLSWeakened})); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	many := &Report{}
	for i := range restShown + 2 {
		many.Add("x.demo", []Finding{{Changed, "cluster d", fmt.Sprintf("setting %d", i)}})
	}
	if got := many.Summary(nil); !strings.HasSuffix(got, "Changed: setting 4 (1), 2 more") {
		t.Errorf("summary of many: %q", got)
	}
	second := &Report{}
	second.Add("y.demo", []Finding{gone})
	r.Confirm(Harmful(), second)
	want = `ClustersLost: is gone: cluster a, seen by y.demo
Changed: timeout: cluster d, seen by x.demo
Added: is new: cluster e, seen by y.demo
`
	if diff := cmp.Diff(want, r.String()); diff != "" {
		t.Errorf("after a second look (-want +got):\n%s", diff)
	}
	if got := (&Report{}).Summary(Harmful()); got != "" {
		t.Errorf("summary of nothing: %q", got)
	}
}
