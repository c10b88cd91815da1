package builtin

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/peercache"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestPeerReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &gate.Subject{Count: func(ctx context.Context, peer string, _ time.Duration) (peercache.Hosts, error) {
			switch peer {
			case "hangs":
				<-ctx.Done()
				return nil, fmt.Errorf("wait: %w", ctx.Err())
			case "is slow":
				time.Sleep(time.Second)
			case "broken":
				return nil, errors.New("no istiod\npod is ready")
			}
			return peercache.Hosts{peer: {}}, nil
		}}
		started := time.Now()
		const patience = 5 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		reports, noAnswer := peerReports(ctx, m, []string{"broken", "hangs", "is slow", "west"}, 0)
		if diff := cmp.Diff(map[string]peercache.Hosts{"west": {"west": {}}, "is slow": {"is slow": {}}}, reports); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"broken": "no istiod pod is ready", "hangs": "wait: context deadline exceeded"}, noAnswer); diff != "" {
			t.Errorf("noAnswer (-want +got):\n%s", diff)
		}
		if took := time.Since(started); took != patience {
			t.Errorf("took %s, want %s", took, patience)
		}
	})
}

// TestEndpointsComplete asks played istiods, and a peer that reports its endpoints.
func TestEndpointsComplete(t *testing.T) {
	shardz := func(west string) string {
		return `{"web.demo":{"demo":{"Shards":{"Kubernetes/east":[{"Addresses":["10.0.0.1"]}],"Kubernetes/west":[{"Addresses":["` + west + `"]}]}}}}`
	}
	for name, test := range map[string]struct {
		istiods []string
		asked   int
		want    meshv1alpha1.Verdict
		words   string
	}{
		"every istiod knows what the peer has": {istiods: []string{formerPod, newPod}, asked: 1, want: meshv1alpha1.VerdictPass, words: "own reports (1 of 1)"},
		"peers are left alone before istiod is ready": {
			istiods: []string{formerPod}, want: meshv1alpha1.VerdictInconclusive, words: "no istiod pod of revision 1-29-1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := testutil.NewCluster(t)
			m := gatetest.Subject()
			m.Config, m.ReportingPeers = api.Config(), []string{"west"}
			asked := 0
			m.Count = func(context.Context, string, time.Duration) (peercache.Hosts, error) {
				asked++
				return peercache.Hosts{"web.demo": {All: []string{"10.9.0.1"}, Any: []string{"10.9.0.1"}}}, nil
			}
			pods := map[string]*corev1.Pod{formerPod: istiodPod(formerPod, "1-28-3", time.Hour), newPod: istiodPod(newPod, "1-29-1", time.Hour)}
			builder := fake.NewClientBuilder()
			for _, pod := range test.istiods {
				builder = builder.WithObjects(pods[pod])
				api.Listen(t, pod, "15014", map[string]string{"/debug/endpointShardz": shardz("10.9.0.1")})
			}
			m.Client = builder.Build()
			got, err := endpointsComplete(t.Context(), m)
			if err != nil || asked != test.asked {
				t.Errorf("error %v, the peer was asked %d times, want %d", err, asked, test.asked)
			}
			gatetest.Check(t, got, test.want, test.words)
		})
	}
}
