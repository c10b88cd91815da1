package gate

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/xds"
)

func proxy(id, kind, namespace, account string, labels map[string]string) xds.Client {
	return xds.Client{ID: id, Type: kind, Labels: labels, Metadata: map[string]any{"NAMESPACE": namespace, "SERVICE_ACCOUNT": account}}
}

func TestChoose(t *testing.T) {
	clients := []xds.Client{
		proxy("web-b.shop", xds.Sidecar, "shop", "web", map[string]string{"app": "web", "pod-template-hash": "b"}),
		proxy("web-a.shop", xds.Sidecar, "shop", "web", map[string]string{"app": "web", "pod-template-hash": "a"}),
		proxy("web-v2.shop", xds.Sidecar, "shop", "web", map[string]string{"app": "web", "version": "v2"}),
		proxy("api.shop", xds.Sidecar, "shop", "api", map[string]string{"app": "api"}),
		proxy("job.batch", xds.Sidecar, "batch", "default", nil),
		proxy("gw.istio-system", xds.Router, "istio-system", "gw", nil),
		proxy("zt.istio-system", "ztunnel", "istio-system", "ztunnel", nil),
		{ID: "grpc.shop", Type: xds.Sidecar, Metadata: map[string]any{"NAMESPACE": "shop", "GENERATOR": "grpc"}},
		{ID: "strange", Type: xds.Sidecar},
	}
	// A gateway and a sidecar first, then other namespaces, other service accounts, other labels.
	want := []string{"api.shop", "gw.istio-system", "job.batch", "web-a.shop", "web-v2.shop"}
	for size := 1; size <= len(want)+1; size++ {
		sample, kinds := choose(clients, size)
		var got []string
		for _, c := range sample {
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(want[:min(size, len(want))], got); diff != "" {
			t.Errorf("choose %d (-want +got):\n%s", size, diff)
		}
		if kinds != len(want) {
			t.Errorf("%d kinds, want %d", kinds, len(want))
		}
	}
}

func TestChooseIsBounded(t *testing.T) {
	var clients []xds.Client
	for i := range 100 {
		clients = append(clients, proxy(fmt.Sprintf("p-%d.shop", i), xds.Sidecar, "shop", fmt.Sprint(i), nil))
	}
	if sample, kinds := choose(clients, sampleSize); len(sample) != sampleSize || kinds != 100 {
		t.Errorf("%d of %d kinds chosen, want %d of 100", len(sample), kinds, sampleSize)
	}
}
