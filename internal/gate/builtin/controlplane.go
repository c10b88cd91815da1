package builtin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
)

// controlPlaneReady passes when the Deployment is rolled out, the webhooks are armed and every istiod pod reports that it
// is ready, at the port of its webhooks and with a certificate that the API server trusts.
func controlPlaneReady(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	pods, err := istiodPods(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	for i := range pods {
		if why := stuck(&pods[i], m.Now, istiodGrace, func(string) bool { return true }); why != "" {
			return gate.Fail("istiod pod %s: %s", pods[i].Name, why), nil
		}
	}
	st, err := controlplane.Observe(ctx, m.Client, m.Namespace, m.To, m.Installation)
	if err != nil {
		return gate.Answer{}, err
	}
	if !st.Complete || !st.Armed {
		return gate.Inconclusive("%s", st.Message), nil
	}
	hook, err := injector(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	names, err := readyIstiods(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	if len(names) == 0 {
		return gate.NoIstiod(m.To), nil
	}
	for _, name := range names {
		if err := isServing(ctx, m, name, hook); err != nil {
			return gate.Answer{}, fmt.Errorf("istiod pod %s: %w", name, err)
		}
	}
	return gate.Pass("%s of revision %s: ready and trusted by the API server", gate.Count(len(names), "istiod pod"), m.To), nil
}

func isServing(ctx context.Context, m *gate.Subject, pod string, hook webhook) error {
	httpClient := istiod.HTTPSClient(m.Config, m.Namespace, pod, istiod.WebhookPort, hook.roots, hook.serverName)
	defer httpClient.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hook.serverName+"/ready", nil)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	_, err = istiod.Do(httpClient, req)
	return err
}
