package addons

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"text/template"
)

var (
	//go:embed coredns.yaml
	corednsYAML string
	//go:embed cert-manager.yaml
	certManagerYAML string
	//go:embed prometheus.yaml
	prometheusYAML string
	//go:embed olm.yaml
	olmYAML string
)

// ApplyCoreDNS installs the cluster's name server at a fixed address; WaitCoreDNS waits for it.
func (c *Cluster) ApplyCoreDNS(ctx context.Context, image string, address netip.Addr) error {
	manifests, err := render(corednsYAML, map[string]any{"Image": image, "DNS": address})
	if err != nil {
		return err
	}
	return c.apply(ctx, manifests)
}

// WaitCoreDNS see ApplyCoreDNS.
func (c *Cluster) WaitCoreDNS(ctx context.Context) error {
	return c.waitDeployment(ctx, "kube-system", "coredns")
}

// ApplyCertManager installs the controllers. They start watching at once, so their resources must be served before.
func (c *Cluster) ApplyCertManager(ctx context.Context, image string, crds []byte) error {
	if err := c.apply(ctx, crds); err != nil {
		return err
	}
	if err := c.waitEstablished(ctx); err != nil {
		return err
	}
	manifests, err := render(certManagerYAML, map[string]any{"Image": image})
	if err != nil {
		return err
	}
	return c.apply(ctx, manifests)
}

// WaitCertManager see ApplyCertManager.
func (c *Cluster) WaitCertManager(ctx context.Context) error {
	return c.waitDeployment(ctx, "cert-manager", "cert-manager")
}

// ApplyPrometheus installs a Prometheus that scrapes the proxies of its cluster, which it calls by this name.
func (c *Cluster) ApplyPrometheus(ctx context.Context, image, cluster string) error {
	manifests, err := render(prometheusYAML, map[string]any{"Image": image, "Cluster": cluster})
	if err != nil {
		return err
	}
	return c.apply(ctx, manifests)
}

// WaitPrometheus see ApplyPrometheus.
func (c *Cluster) WaitPrometheus(ctx context.Context) error {
	return c.waitDeployment(ctx, "prometheus", "prometheus")
}

// ApplyOLM installs the Operator Lifecycle Manager, which unpacks bundles and serves catalogs with the image of opm.
func (c *Cluster) ApplyOLM(ctx context.Context, image, opmImage string, crds []byte) error {
	if err := c.apply(ctx, crds); err != nil {
		return err
	}
	if err := c.waitEstablished(ctx); err != nil {
		return err
	}
	manifests, err := render(olmYAML, map[string]any{"Image": image, "OPMImage": opmImage})
	if err != nil {
		return err
	}
	return c.apply(ctx, manifests)
}

// WaitOLM see ApplyOLM.
func (c *Cluster) WaitOLM(ctx context.Context) error {
	if err := c.waitDeployment(ctx, "olm", "olm-operator"); err != nil {
		return err
	}
	return c.waitDeployment(ctx, "olm", "catalog-operator")
}

func render(text string, values map[string]any) ([]byte, error) {
	parsed, err := template.New("manifests").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("render manifest: %w", err)
	}
	return out.Bytes(), nil
}
