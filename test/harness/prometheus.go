package harness

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RunPrometheus brings up a Prometheus in a cluster, which scrapes the proxies there, and returns its URL. Clusters that
// are somebody else's must have one.
func (e *Env) RunPrometheus(ctx context.Context, cluster string) (string, error) {
	if !e.IsAttached() {
		if err := e.labctl(ctx, "up", "--clusters", cluster, "--prometheus-on", cluster,
			"--istio", strings.Join(e.opts.IstioVersions, ",")); err != nil {
			return "", err
		}
	}
	service := &corev1.Service{}
	err := Await(ctx, "an address of Prometheus in "+cluster, time.Minute, func(ctx context.Context) (bool, string, error) {
		if err := e.Cluster(cluster).Client.Get(ctx, client.ObjectKey{Namespace: "prometheus", Name: "prometheus"}, service); err != nil {
			return false, "", err
		}
		return len(service.Status.LoadBalancer.Ingress) > 0, "its Service has no address", nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://%s:%d", service.Status.LoadBalancer.Ingress[0].IP, service.Spec.Ports[0].Port), nil
}
