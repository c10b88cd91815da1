package istiod

import (
	"context"
	"fmt"
	"net"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"k8s.io/client-go/rest"
)

// plainPort is where istiod speaks xDS without TLS and without asking who is there. It is reached on the pod's
// loopback interface, through the API server, which has authenticated and authorized us.
const plainPort = 15010

// leaveWait is how long a server may take to read what is left and to end the stream.
const leaveWait = 2 * time.Second

const typePrefix = "type.googleapis.com/"

// messageSize bounds one message: all resources of one type of one proxy, which grow with the mesh.
const messageSize = 256 << 20

// ProxyConfig is what an istiod sends to one proxy.
type ProxyConfig struct {
	Clusters  []*clusterv3.Cluster
	Endpoints []*endpointv3.ClusterLoadAssignment
	Listeners []*listenerv3.Listener
	Routes    []*routev3.RouteConfiguration
}

// FetchConfig lets an istiod pod configure a node, once: it subscribes as Envoy does, acknowledges what it gets and
// leaves. It never asks for secrets. Use a node made by Twin, so that no real proxy is confused with it.
func FetchConfig(ctx context.Context, cfg *rest.Config, namespace, pod string, node *corev3.Node) (ProxyConfig, error) {
	config, err := fetch(ctx, node, func(ctx context.Context) (net.Conn, error) {
		return Dial(ctx, cfg, namespace, pod, plainPort)
	})
	if err != nil {
		return ProxyConfig{}, fmt.Errorf("ask istiod on port %d for the configuration of a %s: %w", plainPort, nodeType(node), err)
	}
	return config, nil
}

func fetch(ctx context.Context, node *corev3.Node, dial func(context.Context) (net.Conn, error)) (ProxyConfig, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// Reconnecting would ask again under the same name; the caller's patience is short anyway.
	conn, err := grpc.NewClient("passthrough:///istiod",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageSize)))
	if err != nil {
		return ProxyConfig{}, fmt.Errorf("make a client: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ads, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return ProxyConfig{}, err
	}
	s := &stream{ads: ads, node: node, names: map[string][]string{}}
	config, err := s.all()
	if err != nil {
		return ProxyConfig{}, err
	}
	if err := ads.CloseSend(); err != nil {
		return ProxyConfig{}, err
	}
	s.awaitEnd(cancel)
	return config, nil
}

// awaitEnd waits until the server has read everything, which it tells by ending the stream: hanging up at once could cut off
// the last acknowledgement. One that takes too long is left.
func (s *stream) awaitEnd(hangUp func()) {
	defer time.AfterFunc(leaveWait, hangUp).Stop()
	for {
		if _, err := s.ads.Recv(); err != nil {
			return
		}
	}
}

// stream is a conversation in which everything that comes is acknowledged, asked for or not.
type stream struct {
	ads   discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	node  *corev3.Node
	names map[string][]string
}

// all asks in the order in which Envoy does.
func (s *stream) all() (c ProxyConfig, err error) {
	if c.Clusters, err = get(s, &clusterv3.Cluster{}, nil); err != nil {
		return c, fmt.Errorf("clusters: %w", err)
	}
	if names := endpointNames(c.Clusters); len(names) > 0 {
		if c.Endpoints, err = get(s, &endpointv3.ClusterLoadAssignment{}, names); err != nil {
			return c, fmt.Errorf("endpoints: %w", err)
		}
	}
	if c.Listeners, err = get(s, &listenerv3.Listener{}, nil); err != nil {
		return c, fmt.Errorf("listeners: %w", err)
	}
	names, err := routeNames(c.Listeners)
	if err != nil {
		return c, fmt.Errorf("listeners: %w", err)
	}
	if len(names) > 0 {
		if c.Routes, err = get(s, &routev3.RouteConfiguration{}, names); err != nil {
			return c, fmt.Errorf("routes: %w", err)
		}
	}
	return c, nil
}

// get subscribes to one type and reads its first answer. No names means everything.
func get[T proto.Message](s *stream, example T, names []string) ([]T, error) {
	typeURL := typePrefix + string(example.ProtoReflect().Descriptor().FullName())
	s.names[typeURL] = names
	if err := s.ads.Send(&discoveryv3.DiscoveryRequest{Node: s.node, TypeUrl: typeURL, ResourceNames: names}); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	for {
		resp, err := s.ads.Recv()
		if err != nil {
			return nil, fmt.Errorf("wait for an answer: %w", err)
		}
		if err := s.acknowledge(resp); err != nil {
			return nil, err
		}
		// What was asked for before may be pushed again.
		if resp.GetTypeUrl() == typeURL {
			return decodeAll[T](resp.GetResources())
		}
	}
}

func (s *stream) acknowledge(resp *discoveryv3.DiscoveryResponse) error {
	err := s.ads.Send(&discoveryv3.DiscoveryRequest{TypeUrl: resp.GetTypeUrl(), VersionInfo: resp.GetVersionInfo(),
		ResponseNonce: resp.GetNonce(), ResourceNames: s.names[resp.GetTypeUrl()], Node: s.node})
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

func decodeAll[T proto.Message](resources []*anypb.Any) ([]T, error) {
	out := make([]T, 0, len(resources))
	for _, r := range resources {
		m, err := r.UnmarshalNew()
		if err != nil {
			return nil, fmt.Errorf("read an answer: %w", err)
		}
		resource, ok := m.(T)
		if !ok {
			return nil, fmt.Errorf("the answer has a resource of type %s", r.GetTypeUrl())
		}
		out = append(out, resource)
	}
	return out, nil
}
