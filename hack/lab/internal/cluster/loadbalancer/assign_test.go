//go:build linux

package loadbalancer

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var (
	first  = netip.MustParseAddr("172.30.0.100")
	second = netip.MustParseAddr("172.30.0.101")
)

func service(name string, published ...string) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "mesh", UID: types.UID(name)},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
	}
	for _, ip := range published {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
	}
	return s
}

func TestAssignGivesEachServiceItsOwnAddress(t *testing.T) {
	p := newPool([]netip.Addr{first, second})
	assigned, without := p.assign([]*corev1.Service{service("b"), service("a"), service("c")})
	if assigned["a"] != first || assigned["b"] != second {
		t.Errorf("assigned = %v, want a and b with one address each", assigned)
	}
	if len(without) != 1 || without[0].Name != "c" {
		t.Errorf("without = %v, want only c", without)
	}
}

func TestAssignIsStableAndAdoptsPublishedAddresses(t *testing.T) {
	p := newPool([]netip.Addr{first, second})
	// The newcomer sorts first and must not take what the other already has.
	services := []*corev1.Service{service("a"), service("z", first.String())}
	for range 3 {
		assigned, _ := p.assign(services)
		if assigned["z"] != first || assigned["a"] != second {
			t.Fatalf("assigned = %v, want z to keep %s", assigned, first)
		}
	}
}

func TestAssignIgnoresForeignAndTakenAddresses(t *testing.T) {
	p := newPool([]netip.Addr{first, second})
	assigned, _ := p.assign([]*corev1.Service{
		service("a", first.String()), service("b", first.String()), service("c", "10.0.0.1"),
	})
	if assigned["a"] != first || assigned["b"] != second {
		t.Errorf("assigned = %v, want a and b with different addresses", assigned)
	}
}

func TestReleasedAddressIsReusedLast(t *testing.T) {
	p := newPool([]netip.Addr{first, second})
	p.assign([]*corev1.Service{service("a")})
	if freed := p.release(nil); len(freed) != 1 || freed[0] != first {
		t.Fatalf("release = %v, want %s", freed, first)
	}
	if assigned, _ := p.assign([]*corev1.Service{service("b")}); assigned["b"] != second {
		t.Errorf("assigned = %v, want the address that was not just released", assigned)
	}
}

func TestIsOurs(t *testing.T) {
	class := "example.com/other"
	classy := service("a")
	classy.Spec.LoadBalancerClass = &class
	internal := service("b")
	internal.Spec.Type = corev1.ServiceTypeClusterIP
	if isOurs(classy) || isOurs(internal) || !isOurs(service("c")) {
		t.Error("only LoadBalancer Services without a class are ours")
	}
}
