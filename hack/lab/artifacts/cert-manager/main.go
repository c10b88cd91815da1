// Command cert-manager runs the part of cert-manager that a mesh's trust needs,
// controllers and CA injector, in one process.
//
// cert-manager's own commands are not published as Go modules, so this is a
// main of its own around its public packages. It leaves out ACME and the other
// issuers that need the outside world, and the admission webhook, which is in an
// internal package. Nothing therefore defaults or validates beyond the CRDs'
// schemas. Users of Meshfleet install the official release.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	"github.com/cert-manager/cert-manager/pkg/util"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubescheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

type options struct {
	namespace string
	health    string
	metrics   string
	qps       float64
	workers   int
	version   bool
}

func main() {
	var o options
	flag.StringVar(&o.namespace, "cluster-resource-namespace", namespace(), "namespace of the Secrets that ClusterIssuers name")
	flag.StringVar(&o.health, "health-address", ":9403", "address of /healthz and /readyz")
	flag.StringVar(&o.metrics, "metrics-address", ":9402", "address of /metrics")
	flag.Float64Var(&o.qps, "kube-api-qps", 50, "queries per second, when the API server does not throttle by itself")
	flag.IntVar(&o.workers, "workers", 2, "workers of each controller")
	flag.BoolVar(&o.version, "version", false, "print the version and exit")
	flag.Parse() // controller-runtime registers --kubeconfig
	if o.version {
		fmt.Println(util.AppVersion)
		return
	}
	logf.InitLogs()
	defer logf.FlushLogs()
	ctrl.SetLogger(klog.Background())
	if err := serve(ctrl.SetupSignalHandler(), o); err != nil {
		logf.FlushLogs()
		fmt.Fprintf(os.Stderr, "cert-manager: %v\n", err)
		os.Exit(1)
	}
}

func namespace() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return "cert-manager"
}

// serve runs both halves under one manager, so that the failure of either ends
// the process and the pod restarts.
func serve(ctx context.Context, o options) error {
	cfg, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("load kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(kubescheme.AddToScheme(scheme), apiextensions.AddToScheme(scheme), cmapi.AddToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(util.RestConfigWithUserAgent(cfg, "cainjector"), ctrl.Options{
		Scheme: scheme,
		// The injector watches Secrets by their metadata only and reads the few it
		// needs: their content must not end up in the cache.
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		HealthProbeBindAddress: o.health,
		Metrics:                metricsserver.Options{BindAddress: o.metrics},
	})
	if err != nil {
		return fmt.Errorf("create manager: %w", err)
	}
	err = cainjector.RegisterAllInjectors(ctx, mgr, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName:   true,
			cainjector.ValidatingWebhookConfigurationName: true,
			cainjector.CustomResourceDefinitionName:       true,
		},
	})
	if err != nil {
		return fmt.Errorf("set up CA injector: %w", err)
	}
	if err := addControllers(ctx, mgr, o); err != nil {
		return fmt.Errorf("set up controllers: %w", err)
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// addControllers adds all controllers that the imports registered. The informers
// start after the last one is built, because building is what asks for them.
func addControllers(ctx context.Context, mgr manager.Manager, o options) error {
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		Kubeconfig:         kubeconfig(),
		KubernetesAPIQPS:   float32(o.qps),
		KubernetesAPIBurst: int(2 * o.qps),
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: o.namespace},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes: []string{"*", "-kubectl.kubernetes.io/"},
			// An hour by default: no test waits that long for a second attempt.
			CertificateRequestMinimumBackoffDuration: 5 * time.Second,
			CertificateRequestMaximumBackoffDuration: time.Minute,
		},
	})
	if err != nil {
		return err
	}
	for name, construct := range controller.Known() {
		c, err := construct(factory)
		if err != nil {
			return fmt.Errorf("construct %s: %w", name, err)
		}
		run := func(ctx context.Context) error { return c.Run(o.workers, ctx) }
		if err := mgr.Add(manager.RunnableFunc(run)); err != nil {
			return err
		}
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		shared.SharedInformerFactory.Start(ctx.Done())
		shared.KubeSharedInformerFactory.Start(ctx.Done())
		return nil
	}))
}

// kubeconfig returns the file that controller-runtime was told of. Without one
// both use the pod's service account.
func kubeconfig() string {
	if f := flag.Lookup("kubeconfig"); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	return os.Getenv("KUBECONFIG")
}
