//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// wayBackDeadline is how long tags and gateways may take to be at the old revision again, after the verdict.
const wayBackDeadline = 60 * time.Second

// wayBack measures the time from the verdict until everything that is not a workload points at the old revision.
type wayBack struct {
	*suite
	former string
	took   chan error
}

// watch starts the clock when members begin to go back.
func (w *wayBack) watch(ctx context.Context, u *meshv1alpha1.MeshUpgrade) {
	if u.Status.Phase != meshv1alpha1.UpgradeRollingBack || w.took != nil {
		return
	}
	w.took = make(chan error, 1)
	start := time.Now()
	go func() {
		err := harness.Await(ctx, "tags and gateway of east at "+w.former, wayBackDeadline, w.isBack)
		w.env.Logf("  tags and gateway are back %.1f s after the verdict", time.Since(start).Seconds())
		w.took <- err
	}()
}

// require waits for the clock.
func (w *wayBack) require() error {
	if w.took == nil {
		return fmt.Errorf("the way back was never seen")
	}
	return <-w.took
}

// isBack looks at the webhooks of all tags and at the gateways that peers are told of.
func (w *wayBack) isBack(ctx context.Context) (bool, string, error) {
	east := w.env.Cluster("east").Client
	webhooks := &admissionregistrationv1.MutatingWebhookConfigurationList{}
	if err := east.List(ctx, webhooks, client.HasLabels{"istio.io/tag"}); err != nil {
		return false, "", err
	}
	tags := 0
	for i := range webhooks.Items {
		m := &webhooks.Items[i]
		if got := m.Labels["istio.io/rev"]; got != w.former {
			return false, fmt.Sprintf("tag %s points at %s", m.Labels["istio.io/tag"], got), nil
		}
		tags++
	}
	gateways := &corev1.ServiceList{}
	err := east.List(ctx, gateways, client.InNamespace(harness.ControlPlaneNamespace), client.HasLabels{"topology.istio.io/network"})
	if err != nil {
		return false, "", err
	}
	for i := range gateways.Items {
		if got, want := gateways.Items[i].Name, "istio-eastwestgateway-"+w.former; got != want {
			return false, "peers are told of gateway " + got, nil
		}
	}
	return tags > 0 && len(gateways.Items) == 1, fmt.Sprintf("%d tags, %d gateways", tags, len(gateways.Items)), nil
}
