//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// manual runs the scripted installation.
type manual struct {
	env *harness.Env
	// environ is the environment of the scripts.
	environ []string
}

// newManual builds helm and writes the values of the sample to files, so that both ways use the same.
func newManual(ctx context.Context, env *harness.Env) (*manual, error) {
	var helm string
	if err := env.Step("build helm", func() (err error) {
		helm, err = env.BuildHelm(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	kubectl, err := env.KubectlPath(ctx)
	if err != nil {
		return nil, err
	}
	work := env.Path("bin", "bench")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, fmt.Errorf("make the work directory: %w", err)
	}
	mesh, err := sample(ctx, env)
	if err != nil {
		return nil, err
	}
	istiod := env.Path("bin", "bench", "istiod-values.yaml")
	gateway := env.Path("bin", "bench", "gateway-values.yaml")
	if err := writeValues(istiod, mesh.Spec.ControlPlane.Values.Raw); err != nil {
		return nil, err
	}
	if err := writeValues(gateway, mesh.Spec.EastWestGateway.Values.Raw); err != nil {
		return nil, err
	}
	return &manual{env: env, environ: append(os.Environ(),
		"HELM="+helm,
		"KUBECTL="+kubectl,
		"CHARTS="+env.Path("bin", "charts", mesh.Spec.Version),
		"KUBECONFIGS="+env.Path("bin", "lab"),
		"WORK="+env.Path("bin", "bench", "certificates"),
		"VERSION="+mesh.Spec.Version,
		"ISTIOD_VALUES="+istiod,
		"GATEWAY_VALUES="+gateway,
	)}, nil
}

// sample renders the MeshInstallation that the operator's rounds apply.
func sample(ctx context.Context, env *harness.Env) (*meshv1alpha1.MeshInstallation, error) {
	text, err := env.Kubectl(ctx, harness.HubName, "kustomize", harness.MeshOverlay)
	if err != nil {
		return nil, err
	}
	mesh := &meshv1alpha1.MeshInstallation{}
	if err := yaml.UnmarshalStrict([]byte(text), mesh); err != nil {
		return nil, fmt.Errorf("read the sample: %w", err)
	}
	return mesh, nil
}

func writeValues(path string, raw []byte) error {
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// install returns the installation by script, in one of its variants.
func (m *manual) install(variant string) func(context.Context) error {
	return func(ctx context.Context) error {
		return m.script(ctx, "install.sh", append([]string{variant}, m.env.Members()...)...)
	}
}

// remove uninstalls the releases from all members.
func (m *manual) remove(ctx context.Context) error {
	return m.env.EachMember(func(c *harness.Cluster) error { return m.script(ctx, "uninstall.sh", c.Name) })
}

func (m *manual) script(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, m.env.Path("test", "bench", "manual", name), args...)
	cmd.Env = m.environ
	return runCommand(cmd)
}

func runCommand(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
