package eastwest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// holding is a peer whose istiods hold addresses of net-west, and whose proxies have acknowledged others.
func holding(name string, inIstiod, inProxies []string) meshv1alpha1.MeshMember {
	gateways := func(addresses []string) (out []meshv1alpha1.NetworkGateway) {
		for _, a := range addresses {
			out = append(out, meshv1alpha1.NetworkGateway{Network: "net-west", Address: a})
		}
		return append(out, meshv1alpha1.NetworkGateway{Network: "net-north", Address: "198.51.100.9"})
	}
	return *testutil.Member(name, func(m *meshv1alpha1.MeshMember) {
		m.Status.Discovery = meshv1alpha1.DiscoveryStatus{IstiodGateways: gateways(inIstiod), ProxyGateways: gateways(inProxies)}
	})
}

// both is a peer whose proxies have acknowledged what its istiods hold.
func both(name string, addresses ...string) meshv1alpha1.MeshMember {
	return holding(name, addresses, addresses)
}

// from is a succession of gateways in net-west.
func from(former, successor []string, resolved map[string][]string, before []string) *succession {
	s := &succession{network: "net-west", former: resolve(former, resolved), successor: resolve(successor, resolved)}
	if before != nil {
		s.before = &meshv1alpha1.GatewayTakeover{HeldBefore: before}
	}
	return s
}

// TestSuccession replaces gateways of every shape, and wants to know which peers do not know the new one before the old one is withdrawn,
// and which use the old one afterwards.
func TestSuccession(t *testing.T) {
	list := func(addresses ...string) []string { return addresses }
	const oldIP, newIP, nat = "203.0.113.1", "203.0.113.2", "192.0.2.200"
	const oldName, newName = "old.elb.example", "new.elb.example"
	hub := map[string][]string{oldName: {"203.0.113.11", "203.0.113.12"}, newName: {"203.0.113.21", "203.0.113.22"}}
	for name, c := range map[string]struct {
		*succession
		fixed []string
		// unaware and users are those of peers.
		peers          []meshv1alpha1.MeshMember
		unaware, users []string
	}{
		"one address each": {
			succession: from(list(oldIP), list(newIP), nil, list(oldIP)),
			peers: []meshv1alpha1.MeshMember{
				both("acked", oldIP, newIP), holding("known", list(oldIP, newIP), list(oldIP)), both("never", oldIP), both("done", newIP), holding("leaving", list(newIP), list(oldIP, newIP)),
			},
			unaware: list("known", "never"), users: list("acked", "known", "leaving", "never"),
		},
		"both families": {
			succession: from(list(oldIP, "2001:db8::1"), list(newIP, "2001:db8::2"), nil, list(oldIP, "2001:db8::1")),
			peers: []meshv1alpha1.MeshMember{
				both("one family", oldIP, "2001:db8::1", newIP), both("both", newIP, "2001:db8::2"), both("half left", newIP, "2001:db8::2", "2001:db8::1"),
			},
			unaware: list("one family"), users: list("half left", "one family"),
		},
		"an external IP of both, and addresses of their own": {
			succession: from(list(oldIP, "192.0.2.7"), list(newIP, "192.0.2.7"), nil, list(oldIP, "192.0.2.7")),
			peers:      []meshv1alpha1.MeshMember{both("shared only", oldIP, "192.0.2.7"), both("done", newIP, "192.0.2.7")},
			unaware:    list("shared only"), users: list("shared only"),
		},
		"host names, as the hub resolves them": {
			succession: from(list(oldName), list(newName), hub, list("203.0.113.11", "203.0.113.12")),
			peers: []meshv1alpha1.MeshMember{
				both("never", "203.0.113.11", "203.0.113.12"), both("known", "203.0.113.11", "203.0.113.21"),
				holding("not acknowledged", list("203.0.113.11", "203.0.113.22"), list("203.0.113.11")), both("done", "203.0.113.22"),
			},
			unaware: list("never", "not acknowledged"), users: list("known", "never", "not acknowledged"),
		},
		"host names that the hub cannot resolve": {
			succession: from(list(oldName), list(newName), nil, list("10.0.0.1", "10.0.0.2")),
			peers:      []meshv1alpha1.MeshMember{both("never", "10.0.0.1"), both("known", "10.0.0.2", "10.0.0.3"), both("done", "10.0.0.4")},
			unaware:    list("never"), users: list("known", "never"),
		},
		"host names that members resolve differently than the hub": {
			succession: from(list(oldName), list(newName), hub, list("10.0.0.1")),
			peers:      []meshv1alpha1.MeshMember{both("never", "10.0.0.1"), both("known", "10.0.0.1", "10.0.0.3"), both("done", "10.0.0.3")},
			unaware:    list("never"), users: list("known", "never"),
		},
		"the former host name gets another address meanwhile": {
			succession: from(list(oldName), list(newName), map[string][]string{oldName: {"203.0.113.13"}, newName: {"203.0.113.21"}}, list("203.0.113.11")),
			peers:      []meshv1alpha1.MeshMember{both("rotated", "203.0.113.13"), both("known", "203.0.113.13", "203.0.113.21")},
			unaware:    list("rotated"), users: list("known", "rotated"),
		},
		"what peers held before is not recorded": {
			succession: from(list(oldName), list(newName), hub, nil),
			peers:      []meshv1alpha1.MeshMember{both("never", "203.0.113.11"), both("known", "203.0.113.11", "203.0.113.21"), both("done", "203.0.113.21")},
			unaware:    list("never"), users: list("known", "never"),
		},
		"from an address to a host name": {
			succession: from(list(oldIP), list(newName), hub, list(oldIP)),
			peers:      []meshv1alpha1.MeshMember{both("never", oldIP), both("known", oldIP, "203.0.113.21"), both("done", "203.0.113.22")},
			unaware:    list("never"), users: list("known", "never"),
		},
		"from a host name to an address": {
			succession: from(list(oldName), list(newIP), hub, list("203.0.113.11")),
			peers:      []meshv1alpha1.MeshMember{both("never", "203.0.113.11"), both("known", "203.0.113.11", newIP), both("done", newIP)},
			unaware:    list("never"), users: list("known", "never"),
		},
		"NAT by meshNetworks beside addresses": {
			succession: from(list(oldIP), list(newIP), nil, list(nat, oldIP)), fixed: list(nat),
			peers:   []meshv1alpha1.MeshMember{both("never", nat, oldIP), both("done", nat, newIP)},
			unaware: list("never"), users: list("never"),
		},
		"NAT by meshNetworks beside host names": {
			succession: from(list(oldName), list(newName), nil, list(nat, "10.0.0.1")), fixed: list(nat),
			peers:   []meshv1alpha1.MeshMember{both("never", nat, "10.0.0.1"), both("known", nat, "10.0.0.1", "10.0.0.2"), both("done", nat, "10.0.0.2")},
			unaware: list("never"), users: list("known", "never"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.succession.fixed = c.fixed
			if why := c.indistinct(); why != "" {
				t.Errorf("peers cannot show which gateway they use: %s", why)
			}
			sorted := func(names []string) []string { return slices.Sorted(slices.Values(names)) }
			if diff := cmp.Diff(c.unaware, sorted(c.succession.unaware(c.peers))); diff != "" {
				t.Errorf("peers that do not know the new gateway (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.users, sorted(c.succession.users(c.peers))); diff != "" {
				t.Errorf("peers that use the old gateway (-want +got):\n%s", diff)
			}
		})
	}
}

// TestIndistinctGateways waits by time where nothing that peers hold tells two gateways apart, with the reason and the bound.
func TestIndistinctGateways(t *testing.T) {
	lb := map[string][]string{"old.example": {"192.0.2.9"}, "new.example": {"192.0.2.9"}}
	for name, c := range map[string]struct {
		*succession
		want string
	}{
		"a user's own balancer in front, by one host name": {from([]string{"lb.example"}, []string{"lb.example"}, nil, nil), "the same addresses (lb.example)"},
		"one external IP for both":                         {from([]string{"192.0.2.7"}, []string{"192.0.2.7"}, nil, nil), "the same addresses (192.0.2.7)"},
		"two host names of one balancer":                   {from([]string{"old.example"}, []string{"new.example"}, lb, []string{"192.0.2.9"}), "resolve to the same IP addresses"},
		"an address that the former name resolves to":      {from([]string{"old.example"}, []string{"192.0.2.9"}, lb, []string{"192.0.2.9"}), "resolve to the same IP addresses"},
		"nothing was recorded and nothing can be resolved": {from([]string{"old.example"}, []string{"new.example"}, nil, nil), "the hub cannot resolve new.example"},
	} {
		t.Run(name, func(t *testing.T) {
			peers := []meshv1alpha1.MeshMember{both("east", "192.0.2.9", "192.0.2.7")}
			west := testutil.Member("west")
			at := func(since time.Duration) string {
				west.Status.Gateway.Announced = &metav1.Time{Time: testutil.Now.Add(-since)}
				return beforeWithdrawal(west, peers, c.succession, testutil.Now)
			}
			if got := at(ForgetDeadline - time.Second); !strings.Contains(got, c.want) || !strings.Contains(got, "withdrawn 2m0s after") {
				t.Errorf("waits for %q, want %q and the bound", got, c.want)
			}
			if got := at(ForgetDeadline); got != "" {
				t.Errorf("still waits for %q", got)
			}
			if got := beforeWithdrawal(west, nil, c.succession, testutil.Now); got != "" {
				t.Errorf("without peers it waits for %q", got)
			}
		})
	}
}

// TestBeforeWithdrawal waits for siblings without end in an upgrade, where nothing presses, and for a bounded time in rollback.
func TestBeforeWithdrawal(t *testing.T) {
	addresses := from([]string{"203.0.113.1"}, []string{"203.0.113.2"}, nil, []string{"203.0.113.1"})
	names := from([]string{"old.example"}, []string{"new.example"}, nil, []string{"203.0.113.1"})
	stuck := []meshv1alpha1.MeshMember{both("east", "203.0.113.1")}
	for name, c := range map[string]struct {
		*succession
		stage meshv1alpha1.Stage
		ago   time.Duration
		want  string
	}{
		"just announced":                    {addresses, meshv1alpha1.StageRollback, announceTime - time.Second, "just been announced"},
		"an upgrade waits":                  {addresses, meshv1alpha1.StageGateways, 24 * time.Hour, "do not know the new one yet: east"},
		"an upgrade waits for a host name":  {names, meshv1alpha1.StageGateways, 24 * time.Hour, "an address of new.example that they did not hold before); the hub cannot resolve new.example: check"},
		"rollback waits":                    {addresses, meshv1alpha1.StageRollback, ForgetDeadline - time.Second, "do not know the new one yet: east"},
		"rollback waits for a bounded time": {addresses, meshv1alpha1.StageRollback, ForgetDeadline, ""},
		"and so it does with a host name":   {names, meshv1alpha1.StageRollback, ForgetDeadline, ""},
	} {
		t.Run(name, func(t *testing.T) {
			west := testutil.Member("west")
			west.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: c.stage}
			west.Status.Gateway = meshv1alpha1.GatewayStatus{Announced: &metav1.Time{Time: testutil.Now.Add(-c.ago)}}
			got := beforeWithdrawal(west, stuck, c.succession, testutil.Now)
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("waits for %q, want %q", got, c.want)
			}
		})
	}
}

// TestBeforeRemoval drains every gateway, and waits for peers that use it for a bounded time.
func TestBeforeRemoval(t *testing.T) {
	addresses := from([]string{"203.0.113.1"}, []string{"203.0.113.2"}, nil, []string{"203.0.113.1"})
	names := from([]string{"old.example"}, []string{"203.0.113.2"}, nil, []string{"10.0.0.1"})
	unrecorded := from([]string{"old.example"}, []string{"203.0.113.2"}, nil, nil)
	same := from([]string{"lb.example"}, []string{"lb.example"}, nil, nil)
	user, done := []meshv1alpha1.MeshMember{both("east", "203.0.113.1", "10.0.0.1")}, []meshv1alpha1.MeshMember{both("east", "203.0.113.2")}
	for name, c := range map[string]struct {
		*succession
		peers []meshv1alpha1.MeshMember
		since time.Duration
		want  string
	}{
		"every gateway drains":                           {same, nil, drainTime - time.Second, "it drains"},
		"peers use its address":                          {addresses, user, drainTime, "still use it: east"},
		"peers use what its name was resolved to":        {names, user, drainTime, "still use it: east"},
		"they have dropped its address":                  {addresses, done, drainTime, ""},
		"they have dropped what its name was":            {names, done, drainTime, ""},
		"the wait for them ends":                         {addresses, user, ForgetDeadline, ""},
		"what its name was is not known":                 {unrecorded, done, drainTime, "the hub cannot resolve old.example, so that peers cannot show that they have dropped it: it is removed 2m0s after"},
		"and that wait ends":                             {unrecorded, done, ForgetDeadline, ""},
		"nobody is left to use it":                       {unrecorded, nil, drainTime, ""},
		"the new one gives the same, which peers keep":   {same, done, drainTime, ""},
		"a second gateway of the user's makes no answer": {addresses, []meshv1alpha1.MeshMember{both("east", "203.0.113.2", "198.51.100.1")}, drainTime, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := beforeRemoval(c.peers, c.succession, c.since)
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("waits for %q, want %q", got, c.want)
			}
		})
	}
}

func TestHeldBefore(t *testing.T) {
	got := heldBefore([]meshv1alpha1.MeshMember{both("east", "203.0.113.2", "203.0.113.1"), holding("north", []string{"203.0.113.1"}, nil)}, "net-west")
	if diff := cmp.Diff(&meshv1alpha1.GatewayTakeover{HeldBefore: []string{"203.0.113.1", "203.0.113.2"}}, got); diff != "" {
		t.Errorf("held before (-want +got):\n%s", diff)
	}
	if got := heldBefore(nil, "net-west"); got == nil || len(got.HeldBefore) > 0 {
		t.Errorf("without peers %v is recorded, want that it is nothing", got)
	}
	var many []string
	for range maxHeld + 1 {
		many = append(many, "203.0.113.1"+strings.Repeat("1", len(many)))
	}
	if got := heldBefore([]meshv1alpha1.MeshMember{both("east", many...)}, "net-west"); got != nil {
		t.Errorf("%d addresses are recorded, which is more than the status holds", len(got.HeldBefore))
	}
}

func TestFixedAddresses(t *testing.T) {
	m := testutil.Member("west")
	m.Spec.Revisions = []meshv1alpha1.Revision{
		{Name: "1-28-3", Values: &apiextensionsv1.JSON{Raw: []byte(`{"global": {"meshNetworks": {"net-west": {"gateways": [{"address": "192.0.2.200", "port": 15443}, {"registryServiceName": "a"}]},
			"net-east": {"gateways": [{"address": "192.0.2.201"}]}}}}`)}},
		{Name: "1-29-1"},
	}
	got, err := fixedAddresses(&m.Spec)
	if diff := cmp.Diff([]string{"192.0.2.200"}, got); diff != "" || err != nil {
		t.Errorf("error %v, addresses (-want +got):\n%s", err, diff)
	}
	m.Spec.Revisions[1].Values = &apiextensionsv1.JSON{Raw: []byte(`[]`)}
	if _, err := fixedAddresses(&m.Spec); err == nil {
		t.Error("values that are no map are passed over")
	}
}

// TestResolved asks for each host name again after a while, and lets one that cannot be resolved be one without addresses.
func TestResolved(t *testing.T) {
	asked := 0
	s := &Steps{Resolve: func(ctx context.Context, host string) ([]string, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the question has no deadline")
		}
		asked++
		if host == "broken.example" {
			return nil, errors.New("no such host")
		}
		return []string{"203.0.113.2", "203.0.113.1"}, nil
	}}
	m := &memory{}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {lookupPace - time.Second, 2}, {lookupPace, 4}} {
		got := s.resolved(t.Context(), m, []string{"192.0.2.1", "lb.example", "broken.example"}, testutil.Now.Add(step.after))
		want := map[string][]string{"lb.example": {"203.0.113.1", "203.0.113.2"}, "broken.example": nil}
		if diff := cmp.Diff(want, got); diff != "" || asked != step.want {
			t.Errorf("after %s: asked %d times, want %d; (-want +got):\n%s", step.after, asked, step.want, diff)
		}
	}
}
