package rollout

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// FuzzMerge checks what must hold of any two maps: neither is changed, the upper wins, merging again changes nothing.
func FuzzMerge(f *testing.F) {
	for _, seed := range [][2]string{
		{`{}`, `{}`}, {`{"a":1}`, `{"a":{"b":2}}`}, {`{"a":{"b":2}}`, `{"a":null}`}, {`null`, `{"a":[1,{"b":2}]}`},
		{`{"a":{"b":{"c":1}}}`, `{"a":{"b":{"d":2}},"e":""}`}, {`{"":{"":{}}}`, `{"":{"":{"":1}}}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		base, errA := mesh.Values(&apiextensionsv1.JSON{Raw: []byte(a)})
		over, errB := mesh.Values(&apiextensionsv1.JSON{Raw: []byte(b)})
		if errA != nil || errB != nil {
			return
		}
		beforeBase, beforeOver := marshal(t, base), marshal(t, over)
		merged := mesh.Merge(base, over)
		if diff := cmp.Diff([]string{beforeBase, beforeOver}, []string{marshal(t, base), marshal(t, over)}); diff != "" {
			t.Errorf("merging changed what it merged (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(marshal(t, merged), marshal(t, mesh.Merge(merged, over))); diff != "" {
			t.Errorf("merging again changes the result (-once +twice):\n%s", diff)
		}
		wins(t, over, merged)
	})
}

// wins checks that everything that over says is in merged.
func wins(t *testing.T, over, merged map[string]any) {
	t.Helper()
	for k, v := range over {
		o, oIsMap := v.(map[string]any)
		m, mIsMap := merged[k].(map[string]any)
		if oIsMap && mIsMap {
			wins(t, o, m)
		} else if diff := cmp.Diff(v, merged[k]); diff != "" {
			t.Errorf("%q (-over +merged):\n%s", k, diff)
		}
	}
}

// FuzzMembers plans whatever the API server might store, and some of what it would refuse.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{"version":"1.29.1","members":[{"name":"east"},{"name":"west","network":"n"}]}`,
		`{"version":"","members":[]}`,
		`{"members":[{"name":"a","values":{"x":1}},{"name":"a-b","values":[]}],"controlPlane":{"values":{"x":{"y":2}}}}`,
		`{"version":"1.28.3","members":[{"name":"c"},{"name":"b"},{"name":"a"}],"dataPlane":{"tags":[{"name":"z"},{"name":"y"}]}}`,
		`{"members":[{"name":"east"}],"eastWestGateway":{"replicas":{"min":3}},"deletionPolicy":"Orphan"}`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, spec string, served bool) {
		inst := testutil.Installation()
		if err := json.Unmarshal([]byte(spec), &inst.Spec); err != nil || hasDuplicates(inst) {
			return
		}
		first, err := plan.Members(inst, nil, nil)
		if err != nil {
			return
		}
		checkPlan(t, inst, first)
		existing := first.Desired
		if served {
			existing = plantest.Serving(existing)
		}
		again, err := plan.Members(inst, existing, nil)
		if err != nil {
			t.Fatalf("planned once, but not again: %v", err)
		}
		if len(again.Remove) > 0 {
			t.Errorf("without a change the plan removes %v", again.Remove)
		}
		for i := range again.Desired {
			if diff := cmp.Diff(first.Desired[i].Spec, again.Desired[i].Spec); diff != "" {
				t.Errorf("without a change another work order (-first +again):\n%s", diff)
			}
		}
	})
}

// hasDuplicates says whether two members have one name, which the API server refuses.
func hasDuplicates(inst *meshv1alpha1.MeshInstallation) bool {
	seen := map[string]bool{}
	for _, m := range inst.Spec.Members {
		if seen[m.Name] {
			return true
		}
		seen[m.Name] = true
	}
	return false
}

func checkPlan(t *testing.T, inst *meshv1alpha1.MeshInstallation, p plan.MembersPlan) {
	t.Helper()
	names, peers := map[string]bool{}, map[[2]string]bool{}
	for _, m := range p.Desired {
		if names[m.Name] {
			t.Errorf("two work orders have the name %q", m.Name)
		}
		names[m.Name] = true
		for _, peer := range m.Spec.Peers {
			peers[[2]string{m.Spec.Cluster, peer.Name}] = true
		}
		if !slices.ContainsFunc(m.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == m.Spec.DefaultRevision }) {
			t.Errorf("%s: default revision %q is not among the revisions", m.Name, m.Spec.DefaultRevision)
		}
	}
	n := len(inst.Spec.Members)
	if len(p.Desired) != n || len(peers) != n*(n-1) {
		t.Errorf("%d members give %d work orders with %d pairs of peers, want every pair", n, len(p.Desired), len(peers))
	}
	for pair := range peers {
		if !peers[[2]string{pair[1], pair[0]}] || pair[0] == pair[1] {
			t.Errorf("%s reads %s, but not the other way round", pair[0], pair[1])
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
