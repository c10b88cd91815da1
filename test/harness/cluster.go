package harness

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Cluster is one cluster of the lab, reached with its administrator's kubeconfig.
type Cluster struct {
	// Name of the cluster in the lab, and of the member in the mesh.
	Name string
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// Config is the connection.
	Config *rest.Config
	// Client reads and writes any kind without a cache, so that what a test sees is what is.
	Client client.Client
	// Clientset is for what only typed clients do: logs, proxies.
	Clientset kubernetes.Interface
}

// Scheme knows Kubernetes' kinds and Meshfleet's.
var Scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(meshv1alpha1.AddToScheme(s))
	return s
}

// connect opens a cluster of the lab.
func (e *Env) connect(name string) (*Cluster, error) {
	path := e.Path("bin", "lab", name+".kubeconfig")
	if attached, ok := e.opts.Attach[name]; ok {
		path = attached
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of cluster %q: %w", name, err)
	}
	// Suites poll several clusters at once; client-side throttling would be measured as slowness of the operator.
	config.QPS, config.Burst = 100, 200
	// Listing every kind there is meets kinds that are deprecated; that is no news to anybody.
	config.WarningHandler = rest.NoWarnings{}
	c, err := client.New(config, client.Options{Scheme: Scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to cluster %q: %w", name, err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to cluster %q: %w", name, err)
	}
	cluster := &Cluster{Name: name, Kubeconfig: path, Config: config, Client: c, Clientset: clientset}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clusters[name] = cluster
	return cluster, nil
}
