package envtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"

	"github.com/meshfleet/meshfleet/controllers/installation"
	"github.com/meshfleet/meshfleet/controllers/member"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/pinning"
	"github.com/meshfleet/meshfleet/webhooks"
)

// operator is one run of the operator, wired as in main.go.
type operator struct {
	cancel context.CancelFunc
	done   chan error
}

// startOperator runs a new operator and waits until its webhook answers.
func (s *suite) startOperator(t *testing.T) *operator {
	t.Helper()
	// The tests are impatient: a member that is silent for two seconds is down.
	const interval, down = 500 * time.Millisecond, 2 * time.Second
	hub := rest.AnonymousClientConfig(s.hub.config)
	hub.BearerToken, hub.QPS, hub.Burst = s.hub.token, 100, 200
	provider := fleet.NewProvider(fleet.Options{
		Local: hub, Scheme: scheme, ManagedLabel: labels.SelectorFromSet(apply.ManagedLabels()),
		Selectors: member.CacheSelectors(), ProbeInterval: interval, DownAfter: down,
	})
	serving := s.hub.env.WebhookInstallOptions
	mgr, err := mcmanager.New(hub, provider, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{operatorNamespace: {}}, DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: installation.CacheOptions(),
		},
		// One process runs several operators one after the other.
		Controller: config.Controller{SkipNameValidation: new(true)},
		Metrics:    metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: serving.LocalServingHost, Port: serving.LocalServingPort, CertDir: serving.LocalServingCertDir,
		}),
	})
	must(t, err)
	must(t, s.register(t.Context(), mgr, provider))
	ctx, cancel := context.WithCancel(context.Background())
	o := &operator{cancel: cancel, done: make(chan error, 1)}
	go func() { o.done <- mgr.Start(ctx) }()
	started := mgr.GetLocalManager().GetWebhookServer().StartedChecker()
	await(t, "the operator's webhook answers", func(context.Context) error { return started(nil) })
	return o
}

func (s *suite) register(ctx context.Context, mgr mcmanager.Manager, provider *fleet.Provider) error {
	hubUID, err := s.hub.uid(ctx)
	if err != nil {
		return err
	}
	local := mgr.GetLocalManager()
	archives := pinning.Archives{Reader: local.GetAPIReader(), Writer: local.GetClient(), Namespace: operatorNamespace}
	library := charts.NewLibrary(chartsDir).WithArchives(archives)
	pins := &pinning.Pins{Reader: local.GetClient(), Archives: archives, Now: time.Now}
	if err := local.Add(pins); err != nil {
		return err
	}
	if err := (&installation.Reconciler{
		Client: local.GetClient(), Events: local.GetEventRecorder("meshfleet"), Now: time.Now,
		Charts: &installation.Charts{Pins: pins, Checker: library},
	}).SetupWithManager(local); err != nil {
		return err
	}
	if s.playsMembers {
		return webhooks.SetupWithManager(local, library, pinning.Policy{}, operatorNamespace)
	}
	if err := member.New(member.Options{
		Client: local.GetClient(), HubUID: hubUID, Fleet: provider, Charts: s.charts, Values: library, Istiod: playedIstiod{s},
		Events: local.GetEventRecorder("meshfleet"), Now: time.Now,
	}).SetupWithManager(mgr, provider); err != nil {
		return err
	}
	return webhooks.SetupWithManager(local, library, pinning.Policy{}, operatorNamespace)
}

// stop ends the operator and waits until it has ended.
func (o *operator) stop(t *testing.T) {
	t.Helper()
	o.cancel()
	select {
	case err := <-o.done:
		if err != nil {
			t.Errorf("the operator ended with: %v", err)
		}
	case <-time.After(deadline):
		t.Error(fmt.Errorf("the operator did not end within %s", deadline))
	}
	o.done <- nil
}
