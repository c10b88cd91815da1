package eastwest

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const installation = "meshfleet-system.shop"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// library opens the charts that `make charts` packages.
func library(t *testing.T) *charts.Library {
	t.Helper()
	dir := testutil.InRepository("bin", "charts")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("charts missing, run `make charts`: %v", err)
	}
	return charts.NewLibrary(dir)
}

// revision is the one whose gateway is looked at.
const revision = "1-29-1"

func find(objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	for _, o := range objects {
		if o.GetKind() == kind {
			return o
		}
	}
	return &unstructured.Unstructured{}
}

func TestObjects(t *testing.T) {
	lib := library(t)
	m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions[0].Gateway.Annotations = map[string]string{"cloud.example/internal": "true"}
	})
	for _, version := range istioversion.Supported() {
		m.Spec.Revisions[0].Version = version
		for _, announce := range []bool{false, true, false} {
			c, err := Objects(lib, &m.Spec, m.Spec.Revisions[0].Name, announce)
			if err != nil {
				t.Fatal(err)
			}
			service := find(c.Objects, "Service")
			want := ""
			if announce {
				want = "net-east"
			}
			if got := service.GetLabels()[charts.NetworkLabel]; got != want {
				t.Errorf("%s, announce %v: the Service's network label is %q, want %q", version, announce, got, want)
			}
			if got := service.GetAnnotations()["cloud.example/internal"]; got != "true" {
				t.Errorf("%s: annotations of the Service are %v", version, service.GetAnnotations())
			}
			kind, _, _ := unstructured.NestedString(service.Object, "spec", "type")
			if kind != "LoadBalancer" || service.GetName() != mesh.GatewayName(m.Spec.Revisions[0].Name) || service.GetNamespace() != testutil.ControlPlane {
				t.Errorf("%s: Service %s/%s of type %s", version, service.GetNamespace(), service.GetName(), kind)
			}
			listener, err := ListenerObjects(&m.Spec)
			if err != nil {
				t.Fatal(err)
			}
			checkListener(t, find(listener.Objects, "Gateway"), find(c.Objects, "Deployment"))
		}
	}
}

func TestObjectsInPlace(t *testing.T) {
	lib := library(t)
	m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		inPlace := meshv1alpha1.RevisionGateway{Replacement: meshv1alpha1.GatewayReplacementInPlace}
		m.Spec.Revisions = []meshv1alpha1.Revision{{Name: "1-28-3", Version: "1.28.3", Gateway: inPlace}, {Name: "1-29-1", Version: "1.29.1", Gateway: inPlace}}
	})
	var selectors []map[string]string
	for _, r := range m.Spec.Revisions {
		c, err := Objects(lib, &m.Spec, r.Name, true)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != Prefix+mesh.PinnedGateway {
			t.Errorf("component %s, want one for all revisions", c.Name)
		}
		deployment := find(c.Objects, "Deployment")
		for _, o := range []*unstructured.Unstructured{deployment, find(c.Objects, "Service")} {
			if o.GetName() != "istio-eastwestgateway" {
				t.Errorf("%s %s, want the pinned name", o.GetKind(), o.GetName())
			}
		}
		selector, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "selector", "matchLabels")
		selectors = append(selectors, selector)
		pods, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "template", "metadata", "labels")
		unavailable, _, _ := unstructured.NestedFieldNoCopy(deployment.Object, "spec", "strategy", "rollingUpdate", "maxUnavailable")
		grace, _, _ := unstructured.NestedFieldNoCopy(deployment.Object, "spec", "template", "spec", "terminationGracePeriodSeconds")
		if pods[istio.RevisionLabel] != r.Name || fmt.Sprint(unavailable) != "0" || fmt.Sprint(grace) != "300" {
			t.Errorf("revision %s, maxUnavailable %v, grace period %v, want %s, 0 and 300", pods[istio.RevisionLabel], unavailable, grace, r.Name)
		}
	}
	// A Deployment's selector cannot be changed.
	if diff := cmp.Diff(selectors[0], selectors[1]); diff != "" {
		t.Errorf("selectors of two revisions (-first +second):\n%s", diff)
	}
}

// checkListener checks that the listener passes mutual TLS through, and chooses the gateway's pods.
func checkListener(t *testing.T, listener, deployment *unstructured.Unstructured) {
	t.Helper()
	want := []any{map[string]any{
		"port":  map[string]any{"number": int64(15443), "name": "tls", "protocol": "TLS"},
		"tls":   map[string]any{"mode": "AUTO_PASSTHROUGH"},
		"hosts": []any{"*.local"},
	}}
	got, _, _ := unstructured.NestedSlice(listener.Object, "spec", "servers")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
	selector, _, _ := unstructured.NestedStringMap(listener.Object, "spec", "selector")
	pods, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "template", "metadata", "labels")
	if len(selector) == 0 {
		t.Error("the listener selects every gateway")
	}
	for k, v := range selector {
		if pods[k] != v {
			t.Errorf("the listener selects %s=%s, the pods have %v", k, v, pods)
		}
	}
}

func TestObjectsRefusesARevisionThatIsNotThere(t *testing.T) {
	m := testutil.Member("east")
	if c, err := Objects(library(t), &m.Spec, "gone", false); err == nil {
		t.Errorf("got %d objects, want an error", len(c.Objects))
	}
}

func TestCanAnnounce(t *testing.T) {
	cases := map[string]struct {
		state  State
		served time.Duration
		want   bool
	}{
		"nothing yet":                           {State{}, time.Minute, false},
		"an address, but no pod serves":         {State{Addresses: []string{"203.0.113.7"}}, time.Minute, false},
		"pods serve, but have no address":       {State{Rollout: member.Rollout{ReadyReplicas: 1}}, time.Minute, false},
		"an address and one pod of several":     {State{Addresses: []string{"203.0.113.7"}, Rollout: member.Rollout{ReadyReplicas: 1}}, time.Second, true},
		"a pod that has just begun to serve":    {State{Addresses: []string{"203.0.113.7"}, Rollout: member.Rollout{ReadyReplicas: 1}}, time.Second - 1, false},
		"announced stays so without pods":       {State{Addresses: []string{"203.0.113.7"}, Announced: true}, 0, true},
		"announced stays so without an address": {State{Announced: true}, 0, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.state.CanAnnounce(c.served, time.Second); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

type serviceOption func(*corev1.Service)

func service(options ...serviceOption) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: mesh.GatewayName(revision), Namespace: testutil.ControlPlane, CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
		Labels: map[string]string{meshv1alpha1.LabelInstallation: installation},
	}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	for _, o := range options {
		o(s)
	}
	return s
}

func announced(s *corev1.Service) { s.Labels[charts.NetworkLabel] = "net-east" }

func ingress(points ...corev1.LoadBalancerIngress) serviceOption {
	return func(s *corev1.Service) { s.Status.LoadBalancer.Ingress = points }
}

func external(kind corev1.ServiceType, addresses ...string) serviceOption {
	return func(s *corev1.Service) { s.Spec.Type, s.Spec.ExternalIPs = kind, addresses }
}

func TestObserve(t *testing.T) {
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: mesh.GatewayName(revision), Namespace: testutil.ControlPlane},
		Status:     appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1},
	}
	cases := map[string]struct {
		objects []client.Object
		want    State
	}{
		"nothing is there": {},
		"no Service yet":   {objects: []client.Object{deployment}, want: State{Rollout: member.Rollout{Complete: true}}},
		"no address yet":   {objects: []client.Object{deployment, service()}, want: State{Rollout: member.Rollout{Complete: true}}},
		"an IP address, announced": {
			objects: []client.Object{deployment, service(announced, ingress(corev1.LoadBalancerIngress{IP: "203.0.113.7"}))},
			want:    State{Rollout: member.Rollout{Complete: true}, Addresses: []string{"203.0.113.7"}, Announced: true}},
		"a host name": {
			objects: []client.Object{service(ingress(corev1.LoadBalancerIngress{Hostname: "lb.example"}))},
			want:    State{Addresses: []string{"lb.example"}}},
		"an entry without an address, and one with two": {
			objects: []client.Object{service(ingress(corev1.LoadBalancerIngress{}, corev1.LoadBalancerIngress{IP: "203.0.113.8", Hostname: "lb.example"}))},
			want:    State{Addresses: []string{"203.0.113.8"}}},
		"both address families": {
			objects: []client.Object{service(ingress(corev1.LoadBalancerIngress{IP: "203.0.113.8"}, corev1.LoadBalancerIngress{IP: "2001:db8::8"}))},
			want:    State{Addresses: []string{"203.0.113.8", "2001:db8::8"}}},
		"external IPs without a load balancer": {
			objects: []client.Object{service(external(corev1.ServiceTypeClusterIP, "198.51.100.1", "198.51.100.2"))},
			want:    State{Addresses: []string{"198.51.100.1", "198.51.100.2"}}},
		"external IPs beside a load balancer": {
			objects: []client.Object{service(ingress(corev1.LoadBalancerIngress{IP: "203.0.113.8"}), external(corev1.ServiceTypeLoadBalancer, "198.51.100.1", "203.0.113.8"))},
			want:    State{Addresses: []string{"203.0.113.8", "198.51.100.1"}}},
		"a load balancer that the Service no longer asks for": {
			objects: []client.Object{service(ingress(corev1.LoadBalancerIngress{IP: "203.0.113.8"}), external(corev1.ServiceTypeNodePort))}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Observe(t.Context(), fake.NewClientBuilder().WithObjects(c.objects...).Build(), testutil.ControlPlane, mesh.GatewayName(revision))
			if err != nil {
				t.Fatal(err)
			}
			if got.Complete != c.want.Complete || !slices.Equal(got.Addresses, c.want.Addresses) || got.Announced != c.want.Announced {
				t.Errorf("state is %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWithdraw(t *testing.T) {
	withdrawn := func(at string) serviceOption {
		return func(s *corev1.Service) { s.Annotations = map[string]string{withdrawnAnnotation: at} }
	}
	earlier := now.Add(-5 * time.Second)
	cases := map[string]struct {
		objects []client.Object
		want    time.Time
	}{
		"no Service":                            {},
		"a Service of another mesh is left":     {objects: []client.Object{service(announced, func(s *corev1.Service) { s.Labels[meshv1alpha1.LabelInstallation] = "other.mesh" })}},
		"one that was never announced":          {objects: []client.Object{service()}},
		"one that is announced is withdrawn":    {objects: []client.Object{service(announced)}, want: now},
		"one that was withdrawn keeps its time": {objects: []client.Object{service(withdrawn(earlier.Format(time.RFC3339)))}, want: earlier},
		"announced again since, it counts anew": {objects: []client.Object{service(announced, withdrawn(earlier.Format(time.RFC3339)))}, want: now},
		"a time that is none is no time":        {objects: []client.Object{service(withdrawn("yesterday"))}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			member := fake.NewClientBuilder().WithObjects(c.objects...).Build()
			first, err := Withdraw(t.Context(), member, client.ObjectKeyFromObject(service()), installation, now)
			if err != nil {
				t.Fatal(err)
			}
			if !first.Equal(c.want) {
				t.Errorf("withdrawn at %v, want %v", first, c.want)
			}
			again, err := Withdraw(t.Context(), member, client.ObjectKeyFromObject(service()), installation, now.Add(time.Minute))
			if err != nil || !again.Equal(first) {
				t.Errorf("asked again it was withdrawn at %v (%v), want still %v", again, err, first)
			}
			if st, err := Observe(t.Context(), member, testutil.ControlPlane, mesh.GatewayName(revision)); err != nil || !first.IsZero() && st.Announced {
				t.Errorf("it is still announced: %+v, %v", st, err)
			}
		})
	}
}

func TestRaise(t *testing.T) {
	key := client.ObjectKey{Namespace: testutil.ControlPlane, Name: mesh.GatewayName(revision)}
	cases := map[string]struct {
		replicas *int32
		want     int32
	}{
		"what the API server made one gets the least": {nil, 2},
		"the least stays":                 {new(int32(2)), 2},
		"what the autoscaler added stays": {new(int32(4)), 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			member := fake.NewClientBuilder().WithObjects(&appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Spec: appsv1.DeploymentSpec{Replicas: c.replicas},
			}).Build()
			for _, wantRaised := range []bool{c.replicas == nil, false} {
				st, err := Observe(t.Context(), member, key.Namespace, key.Name)
				if err != nil {
					t.Fatal(err)
				}
				if raised, err := st.Raise(t.Context(), member, key, 2); err != nil || raised != wantRaised {
					t.Errorf("raised: %v, want %v; %v", raised, wantRaised, err)
				}
			}
			if st, err := Observe(t.Context(), member, key.Namespace, key.Name); err != nil || st.Replicas != c.want {
				t.Errorf("%d replicas, want %d; %v", st.Replicas, c.want, err)
			}
		})
	}
	if raised, err := (State{}).Raise(t.Context(), fake.NewClientBuilder().Build(), key, 2); err != nil || raised {
		t.Errorf("a gateway that is not there: raised %v, %v", raised, err)
	}
}

// TestListenerHosts wants the hosts of the listener to be the services of the cluster's DNS domain.
func TestListenerHosts(t *testing.T) {
	domain := func(d string) any {
		return values{"global": values{"proxy": values{"clusterDomain": d}}}
	}
	cases := map[string]struct {
		values []any
		want   []any
	}{
		"no values":                  {[]any{nil}, []any{"*.local"}},
		"the default":                {[]any{domain("cluster.local")}, []any{"*.local"}},
		"another that ends in local": {[]any{domain("prod.k8s.local")}, []any{"*.local"}},
		"another":                    {[]any{domain("corp.internal")}, []any{"*.corp.internal"}},
		"local as a part of a label": {[]any{domain("notlocal")}, []any{"*.notlocal"}},
		"a change of the domain":     {[]any{domain("cluster.local"), domain("corp.internal")}, []any{"*.corp.internal", "*.local"}},
		"two revisions of one":       {[]any{domain("corp.internal"), domain("corp.internal")}, []any{"*.corp.internal"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Spec.Revisions = nil
			for _, v := range c.values {
				r := meshv1alpha1.Revision{Name: "r"}
				if v != nil {
					r.Values = testutil.JSON(v)
				}
				m.Spec.Revisions = append(m.Spec.Revisions, r)
			}
			component, err := ListenerObjects(&m.Spec)
			if err != nil {
				t.Fatal(err)
			}
			servers, _, _ := unstructured.NestedSlice(component.Objects[0].Object, "spec", "servers")
			if diff := cmp.Diff(c.want, servers[0].(map[string]any)["hosts"]); diff != "" {
				t.Errorf("hosts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListenerRefusesValuesThatAreNoMap(t *testing.T) {
	m := testutil.Member("east")
	m.Spec.Revisions[0].Values = testutil.JSON("text")
	if c, err := ListenerObjects(&m.Spec); err == nil {
		t.Errorf("got %d objects, want an error", len(c.Objects))
	}
}
