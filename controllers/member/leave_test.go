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
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const hubUID = "hub-uid"

var errUnreachable = errors.New("no route to host")

// withProxy is a pod with a proxy.
func withProxy(namespace, name string, change ...func(*corev1.Pod)) *corev1.Pod {
	return membertest.ProxyPod(namespace, name, testutil.Revision, change...)
}

func ourClaim() *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "meshfleet-member", Namespace: testutil.ControlPlane}, Data: map[string]string{
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
		istiod  membertest.Istiod
		want    meshv1alpha1.MemberRemovalStatus
		reason  string
	}{
		"pods with a proxy keep it": {
			[]client.Object{ours, withProxy("demo", "a"), withProxy("demo", "b"), byGateway, plain}, membertest.Istiod{},
			meshv1alpha1.MemberRemovalStatus{Proxies: 3, Sample: []string{"demo/a", "demo/b", "demo/public"}}, meshv1alpha1.ReasonWaitingForWorkloads,
		},
		"a pod of a node that is gone does not": {
			[]client.Object{ours, withProxy("demo", "a", membertest.Leaving(2*time.Minute))}, membertest.Istiod{}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
		"our gateways and what has ended do not": {
			[]client.Object{ours, ownGateway, ended, plain}, membertest.Istiod{}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
		"a proxy that is connected and no pod does": {
			[]client.Object{ours, membertest.IstiodPod("istiod-0", testutil.Revision), ownGateway},
			membertest.Istiod{Connected: []istiod.Proxy{membertest.Proxy("vm.demo", 0), membertest.Proxy("istio-eastwestgateway-1-29-1-0.istio-system", 0)}},
			meshv1alpha1.MemberRemovalStatus{Proxies: 1, Sample: []string{`proxy vm.demo of cluster "east"`}}, meshv1alpha1.ReasonWaitingForWorkloads,
		},
		"an istiod that does not answer does not": {
			[]client.Object{ours, membertest.IstiodPod("istiod-0", testutil.Revision)}, membertest.Istiod{Err: errUnreachable}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
		"a cluster of another member does not": {
			[]client.Object{others, withProxy("demo", "a")}, membertest.Istiod{}, meshv1alpha1.MemberRemovalStatus{}, meshv1alpha1.ReasonDeleting,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pass := membertest.Pass(t, testutil.Member("east", testutil.Departing(meshv1alpha1.RemovalWhenUnused)), c.objects...)
			r := New(Options{HubUID: hubUID, Istiod: &c.istiod})
			got := r.leave(t.Context(), pass, false, []status.Outcome{{Result: phase.Complete(meshv1alpha1.ReasonConnected, "")}})
			if diff := cmp.Diff(&c.want, pass.Object.Status.Removal); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if got[0].Result.Kind != phase.Wait || got[0].Result.Reason != c.reason || got[0].Result.After == 0 {
				t.Errorf("result %+v, want a wait for %s that looks again", got[0].Result, c.reason)
			}
		})
	}
}

func TestAMemberThatCannotBeReachedSaysHowItIsLetGo(t *testing.T) {
	pass := &member.Pass{Object: testutil.Member("east", testutil.Departing(meshv1alpha1.RemovalWhenUnused)), Now: testutil.Now}
	connection := phase.Retrying(meshv1alpha1.ReasonConnectionDown, errors.New("no route"))
	got := New(Options{}).leave(t.Context(), pass, false, []status.Outcome{{Type: meshv1alpha1.ConditionReachable, Result: connection}})
	worst := status.Worst(got)
	if !worst.Unknown || worst.Result.Reason != meshv1alpha1.ReasonDeleting || !strings.Contains(worst.Result.Text(), "set spec.deletionPolicy of the MeshInstallation to Orphan") ||
		!strings.Contains(worst.Result.Text(), "annotate this MeshMember with mesh.meshfleet.io/action=Orphan") {
		t.Errorf("worst is %+v", worst)
	}
}

func TestAMemberThatStaysIsNotCounted(t *testing.T) {
	pass := &member.Pass{Object: testutil.Member("east"), Now: testutil.Now}
	pass.Object.Status.Removal = &meshv1alpha1.MemberRemovalStatus{Proxies: 3}
	before := []status.Outcome{{Result: phase.Complete(meshv1alpha1.ReasonReady, "")}}
	if got := New(Options{}).leave(t.Context(), pass, false, before); len(got) != 1 || pass.Object.Status.Removal != nil {
		t.Errorf("outcomes %v, removal %v", got, pass.Object.Status.Removal)
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
			pass := membertest.Pass(t, testutil.Member("east"), c.objects...)
			pass.Object.Spec.DeletionPolicy, pass.Object.Status.Removal = c.policy, c.removal
			if got := New(Options{HubUID: hubUID}).unused(t.Context(), pass); got.Kind != c.want {
				t.Errorf("result %+v, want kind %v", got, c.want)
			}
		})
	}
}
