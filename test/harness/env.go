package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// OperatorNamespace is where config/default installs the operator, and where the sample lives.
	OperatorNamespace = "meshfleet-system"
	// OperatorDeployment is the operator's Deployment.
	OperatorDeployment = "meshfleet-controller-manager"
	// ControlPlaneNamespace is the namespace of istiod in the sample.
	ControlPlaneNamespace = "istio-system"
	// HubName is the cluster where the operator and cert-manager run.
	HubName = "hub"
	// MeshName is the name of the sample's MeshInstallation.
	MeshName = "shop"
	// NewestIstio is the release of the samples, and of a lab that asks for no other.
	NewestIstio = "1.31.0"
	// FormerIstio is the release from which suites upgrade to the newest.
	FormerIstio = "1.30.4"
)

// Options say which lab an Env drives.
type Options struct {
	// Members are the clusters that belong to the mesh, in the order of the sample.
	Members []string
	// IstioVersions are the Istio releases whose images the lab must have. Default: NewestIstio.
	IstioVersions []string
	// Attach holds the kubeconfigs of clusters that run already, by the names that they have in the mesh. The hub has the
	// operator and credentials for the members then, and nothing of it is brought up, installed or removed.
	Attach map[string]string
	// Out receives the progress. Default: standard output.
	Out io.Writer
}

// Env is one lab, the operator on its hub and the mesh over its members. Its methods are the steps of the suites.
type Env struct {
	// Root is the root of the repository.
	Root string
	// Hub is the cluster where the operator runs; nil before EnsureLab.
	Hub *Cluster
	// Mesh names the MeshInstallation.
	Mesh types.NamespacedName

	opts     Options
	start    time.Time
	mu       sync.Mutex
	clusters map[string]*Cluster
	members  []string
	kubectl  string
}

// New returns an Env for the repository that holds the working directory. It starts nothing.
func New(opts Options) (*Env, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	if opts.Out == nil {
		opts.Out = os.Stdout
	}
	if len(opts.Members) == 0 {
		opts.Members = []string{"east", "west"}
	}
	if len(opts.IstioVersions) == 0 {
		opts.IstioVersions = []string{NewestIstio}
	}
	return &Env{
		Root:     root,
		Mesh:     types.NamespacedName{Namespace: OperatorNamespace, Name: MeshName},
		opts:     opts,
		start:    time.Now(),
		clusters: map[string]*Cluster{},
		members:  append([]string(nil), opts.Members...),
	}, nil
}

// Members returns the clusters that belong to the mesh now.
func (e *Env) Members() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.members...)
}

// Cluster returns a cluster of the lab. It panics for a name that EnsureLab or AddCluster did not bring up, because
// that is a mistake in the suite.
func (e *Env) Cluster(name string) *Cluster {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.clusters[name]
	if !ok {
		panic(fmt.Sprintf("cluster %q is not part of this lab", name))
	}
	return c
}

// Clusters returns the names of all clusters that are up, the hub first.
func (e *Env) Clusters() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := []string{HubName}
	for _, n := range e.members {
		if _, ok := e.clusters[n]; ok && n != HubName {
			names = append(names, n)
		}
	}
	return names
}

// Path returns a path below the repository's root.
func (e *Env) Path(elem ...string) string {
	return filepath.Join(append([]string{e.Root}, elem...)...)
}

// repositoryRoot walks up from the working directory, because `go test` runs in the package's directory and
// `go run` in the root.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "api", "v1alpha1")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: run this inside the Meshfleet repository")
		}
		dir = parent
	}
}
