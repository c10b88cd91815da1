package claim

import (
	"context"
	"errors"
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
			s, found := &Steps{Reconstruct: finds(nil, "", nil)}, held{isOurs: true, data: map[string]string{orderKey: c.recorded}}
			pass := &member.Pass{Object: c.member, Now: testutil.Now}
			if got := s.takeOver(t.Context(), pass, found); got.Kind != c.want || (pass.Object.Status.Recovered != nil) != c.recovered {
				t.Errorf("result %+v, recovered %v", got, pass.Object.Status.Recovered)
			}
			if !c.recovered || c.want == phase.Done {
				return
			}
			// The installation takes it over, and then it is obeyed.
			adopted := plan.Recovered(testutil.Members(pass.Object))[0]
			if got := s.takeOver(t.Context(), &member.Pass{Object: &adopted, Now: testutil.Now}, found); got.Kind != phase.Done {
				t.Errorf("after the order was taken over: %+v", got)
			}
		})
	}
}

// finds plays what is found out of a cluster without a record.
func finds(order *meshv1alpha1.OrderInForce, obstacle string, err error) func(context.Context, *member.Pass) (*meshv1alpha1.OrderInForce, string, error) {
	return func(context.Context, *member.Pass) (*meshv1alpha1.OrderInForce, string, error) {
		return order, obstacle, err
	}
}

// TestWithoutARecordNothingIsChangedInPlace wants a member whose claim is gone, or has no record, to be taken over as it is found, and
// to be left alone when that is not certain.
func TestWithoutARecordNothingIsChangedInPlace(t *testing.T) {
	running := &meshv1alpha1.OrderInForce{
		Revisions: []meshv1alpha1.Revision{{Name: "1-28-3", Version: "1.28.3"}}, DefaultRevision: "1-28-3", GatewayRevision: "1-28-3",
	}
	broken := errors.New("the API server does not answer")
	for name, c := range map[string]struct {
		member    testutil.MemberOption
		claim     held
		found     *meshv1alpha1.OrderInForce
		obstacle  string
		err       error
		want      phase.Kind
		recovered bool
	}{
		"the claim was deleted":                      {found: running, want: phase.Wait, recovered: true},
		"the claim has lost its record":              {claim: held{isOurs: true, data: map[string]string{"hub": hubUID}}, found: running, want: phase.Wait, recovered: true},
		"it is not certain what runs":                {obstacle: "the cluster runs 2 revisions", want: phase.Stalled},
		"it cannot be read":                          {err: broken, want: phase.Retry},
		"nothing runs":                               {want: phase.Done},
		"nothing has served yet, says the claim":     {claim: held{isOurs: true, data: map[string]string{orderKey: ""}}, found: running, want: phase.Done},
		"the MeshMember knows that it serves":        {member: testutil.Root("a"), found: running, want: phase.Done},
		"a claim of another with an empty record":    {claim: held{data: map[string]string{orderKey: ""}}, found: running, want: phase.Wait, recovered: true},
		"uncertain, and it was known to have served": {member: func(m *meshv1alpha1.MeshMember) { m.Status.Recovered = running }, obstacle: "o", want: phase.Stalled, recovered: true},
	} {
		t.Run(name, func(t *testing.T) {
			object := testutil.Member("east")
			if c.member != nil {
				c.member(object)
			}
			s, pass := &Steps{Reconstruct: finds(c.found, c.obstacle, c.err)}, &member.Pass{Object: object, Now: testutil.Now}
			got := s.takeOver(t.Context(), pass, c.claim)
			if got.Kind != c.want || (object.Status.Recovered != nil) != c.recovered {
				t.Errorf("result %+v, recovered %v", got, object.Status.Recovered)
			}
			if c.want == phase.Stalled && (got.Reason != meshv1alpha1.ReasonRestoring || !strings.Contains(got.Text(), c.obstacle)) {
				t.Errorf("reason %s, text %q", got.Reason, got.Text())
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
			record, has := u.Object["data"].(map[string]any)[orderKey]
			if !has || (record != "") != c.want {
				t.Errorf("record: %q, there: %v, want one of what runs: %v", record, has, c.want)
			}
		})
	}
}
