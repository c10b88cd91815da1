package fleet

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var (
	east = types.NamespacedName{Namespace: "mesh", Name: "shop-east"}
	west = types.NamespacedName{Namespace: "mesh", Name: "shop-west"}
)

// awareFunc stands for the multicluster manager.
type awareFunc func(context.Context, multicluster.ClusterName, cluster.Cluster) error

func (f awareFunc) Engage(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
	return f(ctx, name, cl)
}

// engagements records what was engaged and whether it still is.
type engagements struct {
	mu   sync.Mutex
	ctxs map[multicluster.ClusterName][]context.Context
}

func (e *engagements) Engage(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
	// What a controller does: it wants an informer and waits for its cache.
	if _, err := cl.GetCache().GetInformer(ctx, &corev1.Service{}); err != nil {
		return err
	}
	cl.GetCache().WaitForCacheSync(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctxs == nil {
		e.ctxs = map[multicluster.ClusterName][]context.Context{}
	}
	e.ctxs[name] = append(e.ctxs[name], ctx)
	return nil
}

func (e *engagements) live(key types.NamespacedName) (live, total int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ctx := range e.ctxs[ClusterName(key)] {
		if ctx.Err() == nil {
			live++
		}
	}
	return live, len(e.ctxs[ClusterName(key)])
}

// start runs a provider until the test ends, and then waits for all that it runs.
func start(t *testing.T, opts Options, aware multicluster.Aware) *Provider {
	t.Helper()
	opts.ProbeInterval = 20 * time.Millisecond
	if opts.ProbeTimeout == 0 {
		opts.ProbeTimeout = 5 * time.Second
	}
	p := NewProvider(opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Start(ctx, aware) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
		eventually(t, "no goroutine is left", func() bool { return goroutines() == 0 })
	})
	return p
}

// goroutines counts those of members, their caches and informers.
func goroutines() int {
	buffer := make([]byte, 4<<20)
	count := 0
	for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		for _, mark := range []string{"fleet.(*member)", "fleet.(*connection)", "controller-runtime/pkg/cache", "client-go/tools/cache"} {
			if strings.Contains(stack, mark) {
				count++
				break
			}
		}
	}
	return count
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
	}
}

func ensure(t *testing.T, p *Provider, key types.NamespacedName, src Source) {
	t.Helper()
	if err := p.Ensure(key, src); err != nil {
		t.Fatalf("Ensure(%s): %v", key, err)
	}
}

func waitFor(t *testing.T, p *Provider, key types.NamespacedName, phase Phase, reason string) State {
	t.Helper()
	eventually(t, key.Name+" is "+string(phase)+", reason "+reason, func() bool {
		state, ok := p.State(key)
		return ok && state.Phase == phase && state.Reason == reason
	})
	state, _ := p.State(key)
	return state
}

func TestConnects(t *testing.T) {
	server := newAPIServer(t, "good")
	engaged := &engagements{}
	p := start(t, Options{}, engaged)
	if _, err := p.Connection(east); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Member of an unknown member: %v, want ErrNotConnected", err)
	}
	ensure(t, p, east, server.source("good"))
	got := waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	want := State{Phase: Connected, Reason: meshv1alpha1.ReasonConnected, Message: server.url() + " answers",
		KubernetesVersion: "v1.36.3", ClusterUID: "uid-good", Server: server.url()}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(State{}, "Since", "CAData")); diff != "" {
		t.Errorf("State (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(got.CAData), "BEGIN CERTIFICATE") {
		t.Errorf("CAData = %q, want a certificate", got.CAData)
	}
	member, err := p.Connection(east)
	if err != nil {
		t.Fatalf("Member: %v", err)
	}
	var web appsv1.Deployment
	if err := member.Client.Get(t.Context(), client.ObjectKey{Namespace: "demo", Name: "web"}, &web); err != nil {
		t.Errorf("read through the member's client: %v", err)
	}
	eventually(t, "east is engaged", func() bool { live, _ := engaged.live(east); return live == 1 })
	if cl, err := p.Get(t.Context(), ClusterName(east)); err != nil || cl != member.Cluster {
		t.Errorf("Get = %v, %v, want the member's cluster", cl, err)
	}
	if _, err := p.Get(t.Context(), ClusterName(west)); !errors.Is(err, multicluster.ErrClusterNotFound) {
		t.Errorf("Get of an unknown member: %v, want ErrClusterNotFound", err)
	}
}

func TestConnectsLocalAndWhatWasEnsuredBeforeStart(t *testing.T) {
	server := newAPIServer(t, "hub")
	target, err := Options{}.resolve(server.source("hub"))
	if err != nil {
		t.Fatal(err)
	}
	p := NewProvider(Options{Local: rest.CopyConfig(target.config)})
	ensure(t, p, east, Source{Local: true})
	if state, _ := p.State(east); state.Phase != Connecting {
		t.Errorf("phase before Start = %s, want Connecting", state.Phase)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Start(ctx, &engagements{}) }()
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Start: %v", err)
	}
}

func TestUnreachableThenBack(t *testing.T) {
	server := newAPIServer(t, "good")
	engaged := &engagements{}
	p := start(t, Options{}, engaged)
	server.stop()
	ensure(t, p, east, server.source("good"))
	state := waitFor(t, p, east, Down, meshv1alpha1.ReasonConnectionDown)
	if want := server.url() + " cannot be reached: connection refused"; state.Message != want {
		t.Errorf("message = %q, want %q", state.Message, want)
	}
	server.start()
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	eventually(t, "east is engaged", func() bool { live, _ := engaged.live(east); return live == 1 })

	server.stop()
	state = waitFor(t, p, east, Down, meshv1alpha1.ReasonConnectionDown)
	if state.ClusterUID != "uid-good" || state.KubernetesVersion == "" {
		t.Errorf("a member that is down has forgotten its cluster: %+v", state)
	}
	if _, err := p.Connection(east); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Member of a member that is down: %v, want ErrNotConnected", err)
	}
	server.start()
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	if live, total := engaged.live(east); live != 1 || total != 1 {
		t.Errorf("%d of %d engagements are live, want that it stayed engaged once", live, total)
	}
}

func TestConnectsAgainWhenAnotherClusterAnswers(t *testing.T) {
	server := newAPIServer(t, "good")
	engaged := &engagements{}
	p := start(t, Options{}, engaged)
	ensure(t, p, east, server.source("good"))
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	server.stop()
	waitFor(t, p, east, Down, meshv1alpha1.ReasonConnectionDown)
	server.change(func(s *apiServer) { s.uid = "another" })
	server.start()
	if state := waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected); state.ClusterUID != "another" {
		t.Errorf("ClusterUID = %q, want the new one", state.ClusterUID)
	}
	eventually(t, "it is engaged anew", func() bool { live, total := engaged.live(east); return live == 1 && total == 2 })
}

func TestSaysWhyTheServerRefuses(t *testing.T) {
	server := newAPIServer(t, "good")
	p := start(t, Options{}, &engagements{})
	ensure(t, p, east, server.source("good"))
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)

	server.change(func(s *apiServer) { s.tokens = nil })
	expired := waitFor(t, p, east, Down, meshv1alpha1.ReasonUnauthorized)
	ensure(t, p, west, server.source("s3cret-token"))
	wrong := waitFor(t, p, west, Down, meshv1alpha1.ReasonUnauthorized)
	p.Remove(west)
	server.change(func(s *apiServer) { s.tokens = map[string]bool{"s3cret-token": true}; s.denied = true })
	ensure(t, p, west, server.source("s3cret-token"))
	denied := waitFor(t, p, west, Down, meshv1alpha1.ReasonPermissionDenied)
	for _, state := range []State{expired, wrong, denied} {
		if strings.Contains(state.Message, "s3cret-token") || strings.Contains(state.Message, "no luck") {
			t.Errorf("the message passes on what the server says: %q", state.Message)
		}
	}
}

func TestSaysWhatIsWrongWithTheCertificate(t *testing.T) {
	server, other := newAPIServer(t, "good"), certificateOfAnotherCA(t)
	p := start(t, Options{}, &engagements{})
	ensure(t, p, east, Source{Kubeconfig: server.kubeconfig("good", withCA(other))})
	if state := waitFor(t, p, east, Down, meshv1alpha1.ReasonConnectionDown); !strings.Contains(state.Message, "certificate-authority-data") {
		t.Errorf("message = %q, want the cure", state.Message)
	}
}

func TestReplacesTheCredential(t *testing.T) {
	server := newAPIServer(t, "old", "new")
	engaged := &engagements{}
	p := start(t, Options{}, engaged)
	ensure(t, p, east, server.source("old"))
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	before, err := p.Connection(east)
	if err != nil {
		t.Fatalf("Member: %v", err)
	}
	ensure(t, p, east, server.source("old"))
	if same, err := p.Connection(east); err != nil || same != before {
		t.Errorf("the same source has replaced the connection")
	}

	ensure(t, p, east, server.source("new"))
	if _, err := p.Connection(east); err != nil {
		t.Errorf("a new credential for the same server has taken the member away: %v", err)
	}
	eventually(t, "the connection is another", func() bool {
		now, err := p.Connection(east)
		return err == nil && now != before && now.ClusterUID == before.ClusterUID
	})
	eventually(t, "probes use the new token", func() bool { return server.tokenOf("/version") == "new" })
	eventually(t, "only the new one is engaged", func() bool { live, total := engaged.live(east); return live == 1 && total == 2 })
}

func TestOneThatHangsHoldsUpNobody(t *testing.T) {
	hanging, healthy := newAPIServer(t, "good"), newAPIServer(t, "good")
	for _, path := range []string{"/version", "/api/v1/namespaces/kube-system", "/apis", "/api/v1/services"} {
		t.Run(path, func(t *testing.T) {
			hanging.change(func(s *apiServer) { s.hangs = path })
			engaged := &engagements{}
			p := start(t, Options{ProbeTimeout: time.Minute}, engaged)
			ensure(t, p, east, hanging.source("good"))
			eventually(t, "the hanging server is asked", func() bool { return hanging.tokenOf(path) != "" })
			ensure(t, p, west, healthy.source("good"))
			waitFor(t, p, west, Connected, meshv1alpha1.ReasonConnected)
			eventually(t, "the healthy one is engaged", func() bool { live, _ := engaged.live(west); return live == 1 })
			if path != "/api/v1/services" {
				if state, _ := p.State(east); state.Phase != Connecting {
					t.Errorf("phase of the one that hangs = %s, want Connecting", state.Phase)
				}
			}
			// A better source is used without waiting for the attempt at the old one.
			ensure(t, p, east, healthy.source("good"))
			waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
		})
	}
}

func TestEngagesAgainAfterAFailure(t *testing.T) {
	server := newAPIServer(t, "good")
	engaged := &engagements{}
	var calls int
	p := start(t, Options{}, awareFunc(func(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
		if calls++; calls == 1 {
			return errors.New("not now")
		}
		return engaged.Engage(ctx, name, cl)
	}))
	ensure(t, p, east, server.source("good"))
	waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected)
	eventually(t, "east is engaged", func() bool { live, _ := engaged.live(east); return live == 1 })
}

func TestRemoveEndsEverything(t *testing.T) {
	server, hanging := newAPIServer(t, "good"), newAPIServer(t, "good")
	hanging.change(func(s *apiServer) { s.hangs = "/api/v1/services" })
	engaged := &engagements{}
	p := start(t, Options{}, engaged)
	for key, s := range map[types.NamespacedName]*apiServer{east: server, west: hanging} {
		ensure(t, p, key, s.source("good"))
		waitFor(t, p, key, Connected, meshv1alpha1.ReasonConnected)
		eventually(t, "it is engaged", func() bool { live, _ := engaged.live(key); return live == 1 })
	}
	p.Remove(east)
	p.Remove(west)
	for key, s := range map[types.NamespacedName]*apiServer{east: server, west: hanging} {
		eventually(t, "it is disengaged", func() bool { live, _ := engaged.live(key); return live == 0 })
		eventually(t, "no connection is left", func() bool { return s.open.Load() == 0 })
		if _, ok := p.State(key); ok {
			t.Errorf("%s is still known", key)
		}
	}
	eventually(t, "no goroutine is left", func() bool { return goroutines() == 0 })
}

func TestChangesRequestTheMember(t *testing.T) {
	server := newAPIServer(t, "good")
	p := start(t, Options{}, &engagements{})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Changes().Start(ctx, queue); err != nil {
		t.Fatalf("Start: %v", err)
	}
	ensure(t, p, east, server.source("good"))
	got, _ := queue.Get()
	if want := (reconcile.Request{NamespacedName: east}); got != want {
		t.Errorf("request = %v, want %v", got, want)
	}
	queue.Done(got)
	cancel()
	eventually(t, "the listener is gone", func() bool {
		p.listeners.mu.Lock()
		defer p.listeners.mu.Unlock()
		return len(p.listeners.calls) == 0
	})
}

func TestKeyIsTheInverseOfClusterName(t *testing.T) {
	if got := Key(ClusterName(east)); got != east {
		t.Errorf("Key(ClusterName(%v)) = %v", east, got)
	}
}
