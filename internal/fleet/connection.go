package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
)

// callTimeout bounds each call through Member.Client. Webhooks of a member may take 30 s to time out, and the answer
// that says so is worth more than our own.
const callTimeout = 40 * time.Second

// Connection is a connected member cluster.
type Connection struct {
	// Config is for what needs its own streams, such as port-forwarding. Clients should not be made from it.
	Config *rest.Config
	// Client reads and writes the API server itself, without a cache. Each call has a timeout.
	Client client.Client
	// Cluster has the caches, which are restricted by Options.ManagedLabel and Selectors: its client does not find other
	// objects.
	Cluster cluster.Cluster
	// Metadata reads through the caches where they are filled.
	Metadata *Metadata
	// ClusterUID identifies the cluster: the UID of its namespace kube-system.
	ClusterUID string
}

// facts are what an API server says about its cluster.
type facts struct {
	version string
	uid     string
}

// connection is one transport to a member and everything that uses it.
type connection struct {
	target  *target
	member  *Connection
	engaged *engagedCluster
	uid     string
	// answered is when a probe last succeeded. Only the goroutine of the member uses it.
	answered time.Time

	httpClient *http.Client
	conns      *connrotation.Dialer
	prober     rest.Interface
	life       context.Context
	abandon    context.CancelFunc
	cancel     context.CancelFunc
	running    sync.WaitGroup
}

// connect makes a connection and returns it once the API server has answered everything that engaging needs. Nothing
// runs yet.
func (o Options) connect(ctx context.Context, t *target, index func(context.Context, *connection) error) (*connection, facts, error) {
	c, err := o.newConnection(t)
	if err != nil {
		return nil, facts{}, err
	}
	found, err := c.askAll(ctx, o.ProbeTimeout)
	if err == nil {
		err = c.discover(ctx)
	}
	if err == nil {
		err = index(ctx, c)
	}
	if err != nil {
		c.abandon()
		return nil, facts{}, err
	}
	c.uid, c.member.ClusterUID, c.answered = found.uid, found.uid, time.Now()
	return c, found, nil
}

func (o Options) newConnection(t *target) (*connection, error) {
	config := rest.CopyConfig(t.config)
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(o.QPS, o.Burst)
	c := &connection{target: t, conns: connrotation.NewDialer((&net.Dialer{Timeout: o.ProbeTimeout}).DialContext)}
	c.life, c.abandon = context.WithCancel(context.Background())
	context.AfterFunc(c.life, c.hangUp)

	dialing := rest.CopyConfig(config)
	dialing.Dial = c.dial
	if dialing.Proxy == nil {
		// client-go does not share the transports of configurations with a proxy function. A transport of our own can
		// be closed without harm to others.
		dialing.Proxy = http.ProxyFromEnvironment
	}
	var err error
	if c.httpClient, err = rest.HTTPClientFor(dialing); err != nil {
		return nil, fmt.Errorf("make an HTTP client: %w", err)
	}
	if c.prober, err = newProber(config, c.httpClient); err != nil {
		return nil, fmt.Errorf("make a client for probes: %w", err)
	}
	cl, err := cluster.New(config, func(co *cluster.Options) {
		co.Scheme = o.Scheme
		co.HTTPClient = c.httpClient
		co.MapperProvider = func(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
			return apiutil.NewDynamicRESTMapper(config, withTimeout(httpClient, o.ProbeTimeout))
		}
		co.Cache = o.cache()
	})
	if err != nil {
		return nil, fmt.Errorf("make the cluster: %w", err)
	}
	direct, err := client.New(config, client.Options{
		HTTPClient: withTimeout(c.httpClient, callTimeout), Scheme: o.Scheme, Mapper: cl.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("make the client: %w", err)
	}
	c.engaged = &engagedCluster{Cluster: cl}
	c.member = &Connection{Config: config, Client: direct, Cluster: cl, Metadata: NewMetadata(cl.GetCache(), direct, o.Scheme)}
	return c, nil
}

func (o Options) cache() cache.Options {
	out := cache.Options{DefaultLabelSelector: o.ManagedLabel, DefaultTransform: keepManagers}
	for kind, selector := range o.Selectors {
		if out.ByObject == nil {
			out.ByObject = map[client.Object]cache.ByObject{}
		}
		out.ByObject[kind] = cache.ByObject{Label: selector}
	}
	return out
}

// withTimeout bounds whole calls, which must not be done to the client of watches.
func withTimeout(httpClient *http.Client, timeout time.Duration) *http.Client {
	bounded := *httpClient
	bounded.Timeout = timeout
	return &bounded
}

// newProber makes a client whose calls never queue behind the member's other calls.
func newProber(config *rest.Config, httpClient *http.Client) (rest.Interface, error) {
	unlimited := rest.CopyConfig(config)
	unlimited.RateLimiter = flowcontrol.NewFakeAlwaysRateLimiter()
	client, err := discovery.NewDiscoveryClientForConfigAndClient(unlimited, httpClient)
	if err != nil {
		return nil, err
	}
	return client.RESTClient(), nil
}

// ask is the probe: it costs the API server next to nothing.
func (c *connection) ask(ctx context.Context, timeout time.Duration) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.askVersion(ctx)
}

// askAll asks which cluster this is, too.
func (c *connection) askAll(ctx context.Context, timeout time.Duration) (facts, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := c.askVersion(ctx)
	if err != nil {
		return facts{}, err
	}
	var namespace corev1.Namespace
	if err := c.get(ctx, "/api/v1/namespaces/kube-system", &namespace); err != nil {
		return facts{}, err
	}
	if namespace.UID == "" {
		return facts{}, errors.New("the namespace kube-system has no UID: not a Kubernetes API server")
	}
	found.uid = string(namespace.UID)
	return found, nil
}

func (c *connection) askVersion(ctx context.Context) (facts, error) {
	var info version.Info
	if err := c.get(ctx, "/version", &info); err != nil {
		return facts{}, err
	}
	return facts{version: info.GitVersion, uid: c.uid}, nil
}

func (c *connection) get(ctx context.Context, path string, into any) error {
	body, err := c.prober.Get().AbsPath(path).MaxRetries(0).Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	if json.Unmarshal(body, into) != nil {
		return fmt.Errorf("get %s: the answer is not JSON of a Kubernetes API server", path)
	}
	return nil
}

// discover fills the REST mapper, so that engaging makes no call under a controller's lock.
func (c *connection) discover(ctx context.Context) error {
	// The mapper takes no context.
	defer context.AfterFunc(ctx, c.abandon)()
	mapper := c.member.Cluster.GetRESTMapper()
	for _, kind := range []schema.GroupKind{{Kind: "Service"}, {Group: "apps", Kind: "Deployment"}} {
		if _, err := mapper.RESTMapping(kind, "v1"); err != nil {
			return fmt.Errorf("discover %s: %w", kind, err)
		}
	}
	return nil
}

// hangUp closes the network connections. Whoever still wants something dials again: after a network failure that is
// faster than waiting for the old connections to be given up.
func (c *connection) hangUp() { c.conns.CloseAll() }

// dial refuses after abandon, so that no retry revives what was given up.
func (c *connection) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	conn, err := c.conns.DialContext(ctx, network, address)
	if err == nil && c.life.Err() != nil {
		_ = conn.Close()
		err = net.ErrClosed
	}
	return conn, err
}

// close ends everything that the connection runs, and whatever others still do with it.
func (c *connection) close() {
	if c == nil {
		return
	}
	c.cancel()
	c.abandon()
	c.running.Wait()
}

// retire ends everything that the connection runs. Calls that others make through Member.Client may still finish.
func (c *connection) retire() {
	if c == nil {
		return
	}
	c.cancel()
	c.running.Wait()
	c.httpClient.CloseIdleConnections()
	time.AfterFunc(callTimeout, c.abandon)
}
