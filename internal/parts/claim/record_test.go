package claim

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestTakeOver(t *testing.T) {
	const record = `{"revisions":[{"name":"1-28-3","version":"1.28.3"},{"name":"1-29-1","version":"1.29.1","values":{"a":1}}],` +
		`"defaultRevision":"1-29-1","gatewayRevision":"1-28-3"}`
	orders := func(names ...string) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) {
			m.Spec.Revisions = nil
			for _, n := range names {
				m.Spec.Revisions = append(m.Spec.Revisions, meshv1alpha1.Revision{Name: n, Version: strings.ReplaceAll(n, "-", ".")})
			}
			m.Spec.DefaultRevision, m.Spec.GatewayRevision = names[len(names)-1], names[0]
		}
	}
	aged := func(age time.Duration) testutil.MemberOption {
		return func(m *meshv1alpha1.MeshMember) { m.CreationTimestamp = metav1.NewTime(testutil.Now.Add(-age)) }
	}
	recovering := func(m *meshv1alpha1.MeshMember) { m.Status.Recovered = &meshv1alpha1.OrderInForce{} }
	values := func(m *meshv1alpha1.MeshMember) { m.Spec.Revisions[1].Values = testutil.JSON(map[string]any{"a": 1}) }
	cases := map[string]struct {
		member    *meshv1alpha1.MeshMember
		recorded  string
		want      phase.Kind
		recovered bool
	}{
		"a cluster without a record is new":                       {testutil.Member("east"), "", phase.Done, false},
		"a member with a status knows better":                     {testutil.Member("east", testutil.Root("a"), orders("1-28-3")), record, phase.Done, false},
		"no order is obeyed that was planned without the record":  {testutil.Member("east", orders("1-28-3", "1-29-1"), values), record, phase.Wait, true},
		"the same order is obeyed":                                {testutil.Member("east", recovering, orders("1-28-3", "1-29-1"), values), record, phase.Done, true},
		"another revision waits":                                  {testutil.Member("east", orders("1-28-3")), record, phase.Wait, true},
		"another revision waits for ever":                         {testutil.Member("east", orders("1-28-3"), aged(time.Hour)), record, phase.Wait, true},
		"other values wait for ever":                              {testutil.Member("east", orders("1-28-3", "1-29-1"), aged(time.Hour)), record, phase.Wait, true},
		"an order that keeps what runs waits for a better one":    {testutil.Member("east", orders("1-27-0", "1-29-1"), values, aged(time.Second)), record, phase.Wait, true},
		"an order that keeps what runs is obeyed in the end":      {testutil.Member("east", recovering, orders("1-27-0", "1-29-1"), values, aged(time.Hour)), record, phase.Done, true},
		"a record that somebody edited is told, and nothing done": {testutil.Member("east"), "{", phase.Stalled, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pass := &member.Pass{Object: c.member, Now: testutil.Now}
			if got := takeOver(pass, c.recorded); got.Kind != c.want || (pass.Object.Status.Recovered != nil) != c.recovered {
				t.Errorf("result %+v, recovered %v", got, pass.Object.Status.Recovered)
			}
			if !c.recovered || c.want == phase.Done {
				return
			}
			// The installation takes it over, and then it is obeyed.
			adopted := plan.Recovered(testutil.Members(pass.Object))[0]
			if got := takeOver(&member.Pass{Object: &adopted, Now: testutil.Now}, c.recorded); got.Kind != phase.Done {
				t.Errorf("after the order was taken over: %+v", got)
			}
		})
	}
}

func TestClaimRecordsWhatServes(t *testing.T) {
	s := &Steps{HubUID: hubUID}
	for name, c := range map[string]struct {
		member   *meshv1alpha1.MeshMember
		recorded string
		want     bool
	}{
		"one that joins may still be corrected": {testutil.Member("east"), "", false},
		"one that serves":                       {testutil.Member("east", testutil.Reached(1)), "", true},
		"one that has a record keeps it":        {testutil.Member("east"), "{}", true},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := s.object(&member.Pass{Object: c.member}, held{data: map[string]string{orderKey: c.recorded}}, "")
			testutil.Must(t, err)
			if _, has := u.Object["data"].(map[string]any)[orderKey]; has != c.want {
				t.Errorf("record: %v, want %v", has, c.want)
			}
		})
	}
}
