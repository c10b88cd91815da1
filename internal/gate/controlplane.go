package gate

import (
	"context"
	"fmt"
	"net/http"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
)

// controlPlaneReady passes when the Deployment is rolled out, the webhooks are armed and every istiod pod says that it
// is ready, at the port of its webhooks and with a certificate that the API server trusts.
func controlPlaneReady(ctx context.Context, m *Member) (Answer, error) {
	pods, err := m.istiodPods(ctx, m.To)
	if err != nil {
		return Answer{}, err
	}
	for i := range pods {
		if why := stuck(&pods[i], m.now, istiodGrace, func(string) bool { return true }); why != "" {
			return fail("istiod pod %s: %s", pods[i].Name, why), nil
		}
	}
	st, err := controlplane.Observe(ctx, m.Client, m.Namespace, m.To, m.Installation)
	if err != nil {
		return Answer{}, err
	}
	if !st.Complete || !st.Armed {
		return inconclusive("%s", st.Message), nil
	}
	hook, err := m.injector(ctx, m.To)
	if err != nil {
		return Answer{}, err
	}
	names, err := m.readyIstiods(ctx, m.To)
	if err != nil {
		return Answer{}, err
	}
	if len(names) == 0 {
		return noIstiod(m.To), nil
	}
	for _, name := range names {
		if err := m.isServing(ctx, name, hook); err != nil {
			return Answer{}, fmt.Errorf("istiod pod %s: %w", name, err)
		}
	}
	return pass("%s of revision %s: ready and trusted by the API server", count(len(names), "istiod pod"), m.To), nil
}

func (m *Member) isServing(ctx context.Context, pod string, hook webhook) error {
	httpClient := istiod.HTTPSClient(m.Config, m.Namespace, pod, istiod.WebhookPort, hook.roots, hook.serverName)
	defer httpClient.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hook.serverName+"/ready", nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	_, err = istiod.Do(httpClient, req)
	return err
}
