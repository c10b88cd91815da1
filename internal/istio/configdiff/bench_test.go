package configdiff

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

// large is a sidecar that knows 3,000 clusters of 5 endpoints each.
func large() Config {
	c := testutil.SidecarConfig()
	template := c.Clusters[0]
	for i := range 3000 {
		name := fmt.Sprintf("outbound|80||s%d.demo.svc.cluster.local", i)
		cluster := proto.CloneOf(template)
		cluster.Name = name
		c.Clusters = append(c.Clusters, cluster)
		c.Endpoints = append(c.Endpoints, testutil.Assignment(name, "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5"))
	}
	return Config(c)
}

// Both istiods are asked within half a minute about ten proxies.
func BenchmarkCompare(b *testing.B) {
	before, after := large(), large()
	for _, c := range after.Clusters {
		c.ConnectTimeout = durationpb.New(1e9)
	}
	for b.Loop() {
		findings, err := Compare(before, after)
		if err != nil || len(findings) == 0 {
			b.Fatal(len(findings), err)
		}
	}
}
