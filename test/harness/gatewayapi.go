package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gatewayAPIModule has the definitions of the Gateway API.
const gatewayAPIModule = "sigs.k8s.io/gateway-api"

// InstallGatewayAPI brings the Gateway API's definitions of the standard channel into a cluster, in the version with which
// the lab's first istiod is built. They are applied from the module itself, and stay there.
func (e *Env) InstallGatewayAPI(ctx context.Context, cluster string) error {
	dir, err := e.moduleDir(ctx, "hack/lab/artifacts/istio-"+e.opts.IstioVersions[0], gatewayAPIModule)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "config", "crd", "standard", "gateway.networking.k8s.io_*.yaml"))
	if err != nil || len(files) == 0 {
		return errors.Join(err, fmt.Errorf("%s has no definitions of the standard channel", dir))
	}
	for _, f := range files {
		manifest, err := os.ReadFile(f) //nolint:gosec // a file of a module that go.sum vouches for
		if err != nil {
			return fmt.Errorf("read a definition of the Gateway API: %w", err)
		}
		if err := e.Cluster(cluster).Apply(ctx, string(manifest)); err != nil {
			return err
		}
	}
	return nil
}

// moduleDir is where a module that one of the repository's modules requires is on this machine.
func (e *Env) moduleDir(ctx context.Context, in, module string) (string, error) {
	out, err := e.output(ctx, "go", "-C", e.Path(in), "mod", "download", "-json", module)
	if err != nil {
		return "", fmt.Errorf("find the module %s: %w", module, err)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		return "", fmt.Errorf("read where the module %s is: %w", module, err)
	}
	return found.Dir, nil
}

// Gateway is what a cluster says of a Gateway of the Gateway API.
type Gateway struct {
	// Programmed is the condition of that name; without one its status is empty.
	Programmed metav1.Condition
	// Address is the first that is reported.
	Address string
	// Generation is that of what it asks for.
	Generation int64
}

// IsProgrammed says that istiod has programmed it as it is now.
func (g Gateway) IsProgrammed() bool {
	return g.Programmed.Status == metav1.ConditionTrue && g.Programmed.ObservedGeneration == g.Generation
}

// Gateway reads a Gateway of the Gateway API.
func (c *Cluster) Gateway(ctx context.Context, namespace, name string) (Gateway, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("gateway.networking.k8s.io/v1")
	u.SetKind("Gateway")
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		return Gateway{}, fmt.Errorf("get Gateway %s/%s in cluster %q: %w", namespace, name, c.Name, err)
	}
	var read struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
			Addresses  []struct {
				Value string `json:"value"`
			} `json:"addresses"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &read); err != nil {
		return Gateway{}, fmt.Errorf("read Gateway %s/%s in cluster %q: %w", namespace, name, c.Name, err)
	}
	g := Gateway{Generation: u.GetGeneration()}
	if p := meta.FindStatusCondition(read.Status.Conditions, "Programmed"); p != nil {
		g.Programmed = *p
	}
	if len(read.Status.Addresses) > 0 {
		g.Address = read.Status.Addresses[0].Value
	}
	return g, nil
}
