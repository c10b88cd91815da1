package testutil

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// ADS is an xDS server that sends a node what it is given, once for each subscription, like a control plane in which
// nothing happens.
type ADS struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	// Resources of all types for a node.
	Resources func(node *corev3.Node) []proto.Message
	// Again pushes an answer of that type a second time, before the answer that a client waits for.
	Again string

	mu   sync.Mutex
	said []string
	open int
}

// Serve listens and returns the address.
func (a *ADS) Serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, a)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// Said is what clients have said, in order: `<node> <type>` and the names for a subscription, and `ack` or `nack` before it
// for an answer.
func (a *ADS) Said() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.said)
}

// Open is the number of streams.
func (a *ADS) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

func (a *ADS) count(change int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open += change
}

// StreamAggregatedResources serves one client.
func (a *ADS) StreamAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	a.count(1)
	defer a.count(-1)
	var last *discoveryv3.DiscoveryResponse
	for nonce := 1; ; nonce++ {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if a.record(req) {
			continue
		}
		if last != nil && strings.HasSuffix(last.GetTypeUrl(), a.Again) && a.Again != "" {
			if err := stream.Send(last); err != nil {
				return err
			}
		}
		last = &discoveryv3.DiscoveryResponse{TypeUrl: req.GetTypeUrl(), VersionInfo: "v1", Nonce: fmt.Sprint(nonce)}
		for _, r := range a.Resources(req.GetNode()) {
			packed, err := anypb.New(r)
			if err != nil {
				return err
			}
			if packed.GetTypeUrl() == req.GetTypeUrl() && (len(req.GetResourceNames()) == 0 || slices.Contains(req.GetResourceNames(), resourceName(r))) {
				last.Resources = append(last.Resources, packed)
			}
		}
		if err := stream.Send(last); err != nil {
			return err
		}
	}
}

// record notes a request and says whether it answers a response.
func (a *ADS) record(req *discoveryv3.DiscoveryRequest) (isAnswer bool) {
	kind := req.GetTypeUrl()[strings.LastIndexByte(req.GetTypeUrl(), '.')+1:]
	text := strings.TrimSpace(req.GetNode().GetId() + " " + kind + " " + strings.Join(req.GetResourceNames(), ","))
	switch {
	case req.GetErrorDetail() != nil:
		text = "nack " + text
	case req.GetResponseNonce() != "":
		text = "ack " + text
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, text)
	return req.GetResponseNonce() != ""
}

func resourceName(m proto.Message) string {
	switch r := m.(type) {
	case interface{ GetClusterName() string }:
		return r.GetClusterName()
	case interface{ GetName() string }:
		return r.GetName()
	}
	return ""
}
