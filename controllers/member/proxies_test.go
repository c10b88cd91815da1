package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// counting is a cluster with pods that counts how often it is asked for them, and fails while broken is set.
type counting struct {
	client.Client
	asked  int
	broken error
}

func newCounting(pods ...client.Object) *counting {
	c := &counting{}
	c.Client = interceptor.NewClient(fake.NewClientBuilder().WithObjects(pods...).Build(), interceptor.Funcs{
		List: func(ctx context.Context, w client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			c.asked++
			if c.broken != nil {
				return c.broken
			}
			return w.List(ctx, list, options...)
		},
	})
	return c
}

// TestPodsAreCountedSeldom counts where pods run every five minutes, and where none do every minute. In a large mesh it is less often.
func TestPodsAreCountedSeldom(t *testing.T) {
	web := func() client.Object { return membertest.ProxyPod("demo", "web", testutil.Revision) }
	for name, c := range map[string]struct {
		pods  []client.Object
		peers int
		want  time.Duration
	}{
		"none run":                 {nil, 1, outcome.Recheck},
		"one runs":                 {[]client.Object{web()}, 1, countEvery},
		"none run in a large mesh": {nil, 900, 15 * time.Minute},
		"one runs in a large mesh": {[]client.Object{web()}, 900, 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.Peers = make([]meshv1alpha1.Peer, c.peers) })
			remote, r := newCounting(c.pods...), &Reconciler{}
			passes := membertest.Passes(t, m, remote)
			for at := time.Duration(0); at < time.Hour; at += 10 * time.Second {
				pass := passes(testutil.Now.Add(at))
				pass.Claimed = true
				r.tellProxies(t.Context(), pass)
				if n := pass.Object.Status.Proxies; n == nil || int(*n) != len(c.pods) {
					t.Fatalf("after %s: %v pods, want %d", at, n, len(c.pods))
				}
				if next := status.Next(pass.Aside); next > c.want-at%c.want || next == 0 {
					t.Errorf("after %s: the next pass is in %s", at, next)
				}
			}
			if want := int(time.Hour / c.want); remote.asked != want {
				t.Errorf("counted %d times in an hour, want %d", remote.asked, want)
			}
		})
	}
}

// TestPodsThatCannotBeCountedAreUnknown keeps a number only while nothing speaks against it.
func TestPodsThatCannotBeCountedAreUnknown(t *testing.T) {
	remote, r := newCounting(membertest.ProxyPod("demo", "web", testutil.Revision)), &Reconciler{}
	passes := membertest.Passes(t, testutil.Member("east"), remote)
	at := testutil.Now
	tell := func(isClaimed bool) *member.Pass {
		at = at.Add(10 * time.Minute)
		pass := passes(at)
		pass.Claimed = isClaimed
		r.tellProxies(t.Context(), pass)
		return pass
	}
	wants := func(what string, pass *member.Pass, want int32) {
		t.Helper()
		if n := pass.Object.Status.Proxies; n == nil || *n != want {
			t.Errorf("%s: %v pods, want %d", what, n, want)
		}
	}
	wants("counted", tell(true), 1)
	remote.broken = errors.New("broken")
	if n := tell(true).Object.Status.Proxies; n != nil {
		t.Errorf("after a failure: %d pods, want unknown", *n)
	}
	remote.broken = nil
	wants("counted again", tell(true), 1)
	if n := tell(false).Object.Status.Proxies; n != nil {
		t.Errorf("in a cluster that is not the member's: %d pods, want unknown", *n)
	}
	wants("claimed again", tell(true), 1)
	cut := &member.Pass{Object: testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Status.Proxies = new(int32(4)) })}
	r.tellProxies(t.Context(), cut)
	wants("not connected", cut, 4)
}
