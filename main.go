// Command meshfleet is the operator: it runs on the hub and keeps one service mesh over many clusters.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // maintenance windows name time zones, and the image has no files of them

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/controllers/installation"
	"github.com/meshfleet/meshfleet/controllers/member"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/build"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/pinning"
	"github.com/meshfleet/meshfleet/webhooks"
)

// settings are the operator's flags.
type settings struct {
	printVersion            bool
	leaderElect             bool
	metricsAddress          string
	healthAddress           string
	webhookCerts            string
	chartsDir               string
	chartsDefault           string
	chartsAllowed           string
	namespace               string
	probeInterval, downTime time.Duration
	// How many are worked on at the same time.
	memberConcurrency, installationConcurrency int
}

func parseFlags() settings {
	s := settings{}
	flag.BoolVar(&s.printVersion, "version", false, "Print the version, the Git commit and the release of Go, and exit.")
	flag.BoolVar(&s.leaderElect, "leader-elect", false, "Run only while holding the leader lease, so that several replicas can wait.")
	flag.StringVar(&s.metricsAddress, "metrics-bind-address", ":8443", "Address of the authenticated metrics endpoint (HTTPS); 0 switches it off.")
	flag.StringVar(&s.healthAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz.")
	flag.StringVar(&s.webhookCerts, "webhook-cert-path", "/tmp/k8s-webhook-server/serving-certs", "Directory with tls.crt and tls.key of the admission webhooks; empty switches them off.")
	flag.StringVar(&s.chartsDir, "charts-dir", "/charts", "Directory of Istio's charts, <version>/<chart>/.")
	flag.StringVar(&s.chartsDefault, "charts", "", "Where the charts of releases are that are not in the image, for meshes without spec.charts: "+
		"a URL that begins with oci://, https:// or http://. Default: none.")
	flag.StringVar(&s.chartsAllowed, "charts-allowed", "", "Which sources spec.charts may name, with commas between them: the value of oci or repository, or "+
		"secret/NAME or configmap/NAME. One that ends with a slash stands for all that begin with it. Default: all.")
	flag.StringVar(&s.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "Namespace of MeshInstallations and of their Secrets. Default: the pod's own.")
	flag.DurationVar(&s.probeInterval, "member-probe-interval", fleet.DefaultProbeInterval, "How often each member's API server is asked whether it is there.")
	flag.DurationVar(&s.downTime, "member-down-after", fleet.DefaultDownAfter, "How long a member may be silent before it counts as unreachable.")
	flag.IntVar(&s.memberConcurrency, "member-concurrency", member.DefaultConcurrency, "How many members are worked on at the same time.")
	flag.IntVar(&s.installationConcurrency, "installation-concurrency", installation.DefaultConcurrency, "How many MeshInstallations are worked on at the same time.")
	options := zap.Options{}
	options.BindFlags(flag.CommandLine)
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&options)))
	return s
}

// policy is what the flags say of sources of charts.
func (s settings) policy() pinning.Policy {
	return pinning.Policy{Default: s.chartsDefault, Allowed: strings.FieldsFunc(s.chartsAllowed, func(r rune) bool { return r == ',' || r == ' ' })}
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, cmv1.AddToScheme, networkingv1.AddToScheme, meshv1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

func main() {
	s := parseFlags()
	if s.printVersion {
		fmt.Println(build.Current())
		return
	}
	if err := run(ctrl.SetupSignalHandler(), s); err != nil {
		ctrl.Log.Error(err, "Operator stopped")
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	if s.memberConcurrency < 1 || s.installationConcurrency < 1 {
		return fmt.Errorf("set --member-concurrency (now %d) and --installation-concurrency (now %d) to 1 or more", s.memberConcurrency, s.installationConcurrency)
	}
	if err := s.policy().Validate(); err != nil {
		return err
	}
	if s.namespace == "" {
		return fmt.Errorf("set --namespace or POD_NAMESPACE to the namespace of the MeshInstallations")
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the hub's API server: %w", err)
	}
	version := build.Current()
	config.UserAgent = version.UserAgent()
	ctrl.Log.Info("Starting the operator", "version", version.Version, "commit", version.Commit, "goVersion", version.GoVersion)
	scheme := newScheme()
	provider := fleet.NewProvider(fleet.Options{
		Local: config, Scheme: scheme, ManagedLabel: labels.SelectorFromSet(apply.ManagedLabels()),
		Selectors: member.CacheSelectors(), ProbeInterval: s.probeInterval, DownAfter: s.downTime,
	})
	mgr, err := mcmanager.New(config, provider, managerOptions(s, scheme))
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := register(ctx, mgr, provider, config, s); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func managerOptions(s settings, scheme *runtime.Scheme) ctrl.Options {
	return ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			// The operator may read Secrets of its own namespace only.
			DefaultNamespaces: map[string]cache.Config{s.namespace: {}},
			// Nothing on the hub asks who manages which field, and for lists of all members that is as much as the lists themselves.
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         installation.CacheOptions(),
		},
		LeaderElection:          s.leaderElect,
		LeaderElectionID:        "meshfleet.mesh.meshfleet.io",
		LeaderElectionNamespace: s.namespace,
		// A successor need not wait for the lease to run out after an orderly stop.
		LeaderElectionReleaseOnCancel: true,
		HealthProbeBindAddress:        s.healthAddress,
		Metrics: metricsserver.Options{
			BindAddress: s.metricsAddress, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		WebhookServer: webhook.NewServer(webhook.Options{CertDir: s.webhookCerts}),
	}
}

func register(ctx context.Context, mgr mcmanager.Manager, provider *fleet.Provider, config *rest.Config, s settings) error {
	local := mgr.GetLocalManager()
	hubUID, err := hubUID(ctx, config, local.GetScheme())
	if err != nil {
		return err
	}
	archives := pinning.Archives{Reader: local.GetAPIReader(), Writer: local.GetClient(), Namespace: s.namespace}
	library := charts.NewLibrary(s.chartsDir).WithArchives(archives)
	pins := &pinning.Pins{Reader: local.GetClient(), Archives: archives, Policy: s.policy(), Now: time.Now}
	if err := local.Add(pins); err != nil {
		return fmt.Errorf("add the sweep of packaged charts: %w", err)
	}
	if err := (&installation.Reconciler{
		Client: local.GetClient(), Events: local.GetEventRecorder("meshfleet"), Now: time.Now, Concurrency: s.installationConcurrency,
		Charts: &installation.Charts{Pins: pins, Checker: library},
	}).SetupWithManager(local); err != nil {
		return err
	}
	if err := member.New(member.Options{
		Client: local.GetClient(), HubUID: hubUID, Fleet: provider, Charts: library, Values: library, Istiod: istiod.Istiod{},
		Events: local.GetEventRecorder("meshfleet"), Now: time.Now, Concurrency: s.memberConcurrency,
	}).SetupWithManager(mgr, provider); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("healthz", healthz.Ping); err != nil {
		return fmt.Errorf("add the health check: %w", err)
	}
	if s.webhookCerts == "" {
		// Another replica answers the webhooks, as with `make run`.
		return nil
	}
	if err := webhooks.SetupWithManager(local, library, s.policy(), s.namespace); err != nil {
		return fmt.Errorf("set up the admission webhooks: %w", err)
	}
	if err := mgr.AddReadyzCheck("webhook", local.GetWebhookServer().StartedChecker()); err != nil {
		return fmt.Errorf("add the readiness check: %w", err)
	}
	return nil
}

// hubUID identifies the hub: the UID of its kube-system namespace lives as long as the cluster.
func hubUID(ctx context.Context, config *rest.Config, scheme *runtime.Scheme) (string, error) {
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return "", fmt.Errorf("make a client for the hub: %w", err)
	}
	ns := &corev1.Namespace{}
	if err := c.Get(ctx, client.ObjectKey{Name: "kube-system"}, ns); err != nil {
		return "", fmt.Errorf("identify the hub: %w", err)
	}
	return string(ns.UID), nil
}
