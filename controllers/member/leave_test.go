package member

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var errUnreachable = errors.New("no route to host")

// withProxy is a pod with a proxy.
func withProxy(namespace, name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{}, Annotations: map[string]string{
		"istio.io/rev": testutil.Revision, "sidecar.istio.io/status": "{}"}}}
	for _, c := range change {
		c(p)
	}
	return p
}

func ourClaim() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: inControlPlane(claimName), Data: map[string]string{
		"hub": hubUID, "installation": "meshfleet-system/shop", "member": "east",
	}}
}

func TestAMemberThatLeavesCountsProxies(t *testing.T) {
	ownGateway := withProxy(testutil.ControlPlane, "istio-eastwestgateway-1-29-1-0", func(p *corev1.Pod) {
		p.Labels["istio"], p.Labels["app"] = mesh.GatewayLabel, "istio-eastwestgateway-1-29-1"
	})
	ended := withProxy("demo", "job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	byGateway := withProxy("demo", "public", func(p *corev1.Pod) {
		p.Annotations, p.Labels = nil, map[string]string{"gateway.istio.io/managed": "istio.io-gateway-controller"}
	})
	plain := withProxy("demo", "plain", func(p *corev1.Pod) { p.Annotations = nil })
	ours, others := ourClaim(), ourClaim()
	others.Data["member"] = "another"
	cases := map[string]struct {
		objects []client.Object
		istiod  playedIstiod
		want    meshv1alpha1.MemberRemovalStatus
		reason  string
	}{
		"pods with a proxy keep it": {
			[]client.Object{ours, withProxy("demo", "a"), withProxy("demo", "b"), byGateway, plain}, playedIstiod{},
			meshv1alpha1.MemberRemovalStatus{Proxies: 3, Sample: []string{"demo/a", "demo/b", "demo/public"}}, meshv1alpha1.ReasonWaitingForWorkloads,
		},
		"our gateways and what has ended do not": {
			[]client.Object{ours, ownGateway, ended, plain}, playedIstiod{}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
		"a proxy that is connected and no pod does": {
			[]client.Object{ours, istiodOf("istiod-0", testutil.Revision), ownGateway},
			playedIstiod{proxies: []istiod.Proxy{proxy("vm.demo", 0), proxy("istio-eastwestgateway-1-29-1-0.istio-system", 0)}},
			meshv1alpha1.MemberRemovalStatus{Proxies: 1, Sample: []string{`proxy vm.demo of cluster "east"`}}, meshv1alpha1.ReasonWaitingForWorkloads,
		},
		"an istiod that does not answer does not": {
			[]client.Object{ours, istiodOf("istiod-0", testutil.Revision)}, playedIstiod{err: errUnreachable}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
		"a cluster of another member does not": {
			[]client.Object{others, withProxy("demo", "a")}, playedIstiod{}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := pass(c.objects...)
			s.member.Spec.Removal = meshv1alpha1.RemovalWhenUnused
			s.state = &memberState{connection: &fleet.Member{}}
			r := &Reconciler{HubUID: hubUID, Istiod: &c.istiod}
			got := r.leave(t.Context(), s, []status.Outcome{{Result: phase.Complete(meshv1alpha1.ReasonConnected, "")}})
			if diff := cmp.Diff(&c.want, s.member.Status.Removal); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if got[0].Result.Kind != phase.Wait || got[0].Result.Reason != c.reason || got[0].Result.After == 0 {
				t.Errorf("result %+v, want a wait for %s that looks again", got[0].Result, c.reason)
			}
		})
	}
}

func TestAMemberThatCannotBeReachedSaysHowItIsLetGo(t *testing.T) {
	s := &scope{member: testutil.Member("east", testutil.Departing(meshv1alpha1.RemovalWhenUnused)), now: testutil.Now}
	connection := phase.Retrying(meshv1alpha1.ReasonConnectionDown, errors.New("no route"))
	got := (&Reconciler{}).leave(t.Context(), s, []status.Outcome{{Type: meshv1alpha1.ConditionReachable, Result: connection}})
	worst := status.Worst(got)
	if !worst.Unknown || worst.Result.Reason != meshv1alpha1.ReasonDeleting || !strings.Contains(worst.Result.Text(), "set spec.deletionPolicy of the MeshInstallation to Orphan") {
		t.Errorf("worst is %+v", worst)
	}
}

func TestAMemberThatStaysIsNotCounted(t *testing.T) {
	s := &scope{member: testutil.Member("east"), now: testutil.Now}
	s.member.Status.Removal = &meshv1alpha1.MemberRemovalStatus{Proxies: 3}
	before := []status.Outcome{{Result: phase.Complete(meshv1alpha1.ReasonReady, "")}}
	if got := (&Reconciler{}).leave(t.Context(), s, before); len(got) != 1 || s.member.Status.Removal != nil {
		t.Errorf("outcomes %v, removal %v", got, s.member.Status.Removal)
	}
}

func TestUnused(t *testing.T) {
	inUse := []client.Object{ourClaim(), withProxy("demo", "a")}
	counted := func(n int32) *meshv1alpha1.MemberRemovalStatus { return &meshv1alpha1.MemberRemovalStatus{Proxies: n} }
	cases := map[string]struct {
		objects []client.Object
		policy  meshv1alpha1.DeletionPolicy
		removal *meshv1alpha1.MemberRemovalStatus
		want    phase.Kind
	}{
		"a member that was never counted is now":            {inUse, meshv1alpha1.DeletionPolicyOrphan, nil, phase.Wait},
		"one that had proxies when it was last seen is":     {inUse, meshv1alpha1.DeletionPolicyOrphan, counted(7), phase.Wait},
		"one that had none goes on":                         {inUse, meshv1alpha1.DeletionPolicyWaitForMembers, counted(0), phase.Done},
		"one that has none any more goes on":                {[]client.Object{ourClaim()}, meshv1alpha1.DeletionPolicyOrphan, counted(7), phase.Done},
		"the policy Force asks for none":                    {inUse, meshv1alpha1.DeletionPolicyForce, counted(7), phase.Done},
		"the policy Force asks for none, never counted":     {inUse, meshv1alpha1.DeletionPolicyForce, nil, phase.Done},
		"one that is not ours is let go, whatever is there": {[]client.Object{withProxy("demo", "a")}, meshv1alpha1.DeletionPolicyWaitForMembers, nil, phase.Done},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := pass(c.objects...)
			s.state = &memberState{connection: &fleet.Member{}}
			s.member.Spec.DeletionPolicy, s.member.Status.Removal = c.policy, c.removal
			if got := (&Reconciler{HubUID: hubUID}).unused(t.Context(), s); got.Kind != c.want {
				t.Errorf("result %+v, want kind %v", got, c.want)
			}
		})
	}
}

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
			s := &scope{member: c.member, now: testutil.Now}
			if got := takeOver(s, c.recorded); got.Kind != c.want || (s.member.Status.Recovered != nil) != c.recovered {
				t.Errorf("result %+v, recovered %v", got, s.member.Status.Recovered)
			}
			if !c.recovered || c.want == phase.Done {
				return
			}
			// The installation takes it over, and then it is obeyed.
			adopted := plan.Recovered(testutil.Members(s.member))[0]
			if got := takeOver(&scope{member: &adopted, now: testutil.Now}, c.recorded); got.Kind != phase.Done {
				t.Errorf("after the order was taken over: %+v", got)
			}
		})
	}
}

func TestTheClaimRecordsWhatRunsOnceItServes(t *testing.T) {
	r := &Reconciler{HubUID: hubUID}
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
			u, err := r.claimObject(&scope{member: c.member, claimed: map[string]string{claimOrder: c.recorded}}, "")
			testutil.Must(t, err)
			if _, has := u.Object["data"].(map[string]any)[claimOrder]; has != c.want {
				t.Errorf("record: %v, want %v", has, c.want)
			}
		})
	}
}
