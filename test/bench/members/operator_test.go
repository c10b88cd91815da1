//go:build bench

package members

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/controllers/installation"
	"github.com/meshfleet/meshfleet/controllers/member"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

const (
	namespace = "meshfleet-system"
	// The operator runs in a process of its own, which these tell the hub and the address of its metrics.
	kubeconfigVariable, metricsVariable = "BENCH_OPERATOR_KUBECONFIG", "BENCH_OPERATOR_METRICS"
)

var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, cmv1.AddToScheme, meshv1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}

func TestMain(m *testing.M) {
	if os.Getenv(kubeconfigVariable) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := runOperator(ctx)
	stop()
	if err != nil {
		ctrl.Log.Error(err, "Operator stopped")
		os.Exit(1)
	}
}

// runOperator runs the operator, wired as in main.go, but for the connections to members.
func runOperator(ctx context.Context) error {
	ctrl.SetLogger(zap.New())
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigVariable))
	if err != nil {
		return err
	}
	config.QPS = -1
	provider := fleet.NewProvider(fleet.Options{
		Local: config, Scheme: scheme, ManagedLabel: labels.SelectorFromSet(apply.ManagedLabels()), Selectors: member.CacheSelectors(),
		ProbeInterval: time.Hour, DownAfter: time.Hour,
	})
	mgr, err := mcmanager.New(config, provider, ctrl.Options{
		Scheme: scheme, Cache: hubCache(), Metrics: metricsserver.Options{BindAddress: os.Getenv(metricsVariable)}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		return err
	}
	local, library := mgr.GetLocalManager(), charts.NewLibrary("../../../bin/charts")
	if err := (&installation.Reconciler{
		Client: local.GetClient(), Events: local.GetEventRecorder("meshfleet"), Now: time.Now,
	}).SetupWithManager(local); err != nil {
		return err
	}
	if err := member.New(member.Options{
		Client: local.GetClient(), HubUID: "hub", Fleet: noConnections{}, Charts: library, Values: library, Istiod: istiod.Istiod{},
		Events: local.GetEventRecorder("meshfleet"), Now: time.Now,
	}).SetupWithManager(mgr, provider); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func hubCache() cache.Options {
	return cache.Options{
		DefaultNamespaces: map[string]cache.Config{namespace: {}}, DefaultTransform: cache.TransformStripManagedFields(), ByObject: installation.CacheOptions(),
	}
}

// noConnections has a connection for no member: each is being made, for ever.
type noConnections struct{}

var errConnecting = errors.New("connecting")

func (noConnections) Ensure(types.NamespacedName, fleet.Source) error { return nil }
func (noConnections) Remove(types.NamespacedName)                     {}
func (noConnections) Connection(types.NamespacedName) (*fleet.Connection, error) {
	return nil, errConnecting
}

func (noConnections) State(types.NamespacedName) (fleet.State, bool) {
	return fleet.State{Phase: fleet.Connecting, Message: errConnecting.Error()}, true
}
