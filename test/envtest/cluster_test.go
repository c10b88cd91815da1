package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	hubName           = "hub"
	operatorNamespace = "meshfleet-system"
	operatorAccount   = "meshfleet-controller-manager"
	memberNamespace   = "meshfleet-member"
	memberAccount     = "meshfleet-member"
)

// cluster is one API server with its etcd.
type cluster struct {
	name   string
	env    *envtest.Environment
	config *rest.Config
	// admin may do everything and reads without a cache.
	admin client.Client
	audit string
	// token of the account that the operator uses here.
	token   string
	network *network
	stage   *stage
}

func startCluster(t *testing.T, name string) (*cluster, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh") // short: paths of sockets are limited
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &cluster{name: name, audit: filepath.Join(dir, "audit.log"), env: &envtest.Environment{
		Scheme: scheme, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute, ErrorIfCRDPathMissing: true,
	}}
	if err := c.configure(t, dir); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := c.env.Stop(); err != nil {
			t.Logf("stop the API server of %s: %v", name, err)
		}
	})
	if c.config, err = c.env.Start(); err != nil {
		return nil, err
	}
	c.config.WarningHandler = rest.NoWarnings{}
	if c.admin, err = client.New(c.config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if err := c.admit(t.Context()); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cluster) configure(t *testing.T, dir string) error {
	var err error
	if c.network, err = listen(t, c, filepath.Join(dir, "net.sock")); err != nil {
		return err
	}
	policy, selector := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "egress.yaml")
	if err := errors.Join(
		os.WriteFile(policy, []byte(auditPolicy), 0o600),
		os.WriteFile(selector, fmt.Appendf(nil, egressSelector, c.network.socket), 0o600),
	); err != nil {
		return err
	}
	c.env.ControlPlane.GetAPIServer().Configure().
		Append("audit-log-path", c.audit).Append("audit-policy-file", policy).Append("egress-selector-config-file", selector)
	if c.name != hubName {
		return nil
	}
	certManager, err := moduleDir("github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	c.env.CRDDirectoryPaths = []string{
		filepath.Join(configDir, "crd", "bases"),
		filepath.Join(certManager, "deploy", "crds", "cert-manager.io_certificates.yaml"),
		filepath.Join(certManager, "deploy", "crds", "cert-manager.io_issuers.yaml"),
	}
	c.env.WebhookInstallOptions, err = webhookOptions()
	return err
}

// moduleDir is where a Go module is on this machine.
func moduleDir(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the Go module %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// admit makes the operator's account with the permissions that the project ships, and takes a token of it.
func (c *cluster) admit(ctx context.Context) error {
	files, namespace, account := []string{
		"member-rbac/namespace.yaml", "member-rbac/service_account.yaml", "member-rbac/role.yaml", "member-rbac/role_binding.yaml",
		"member-rbac/renewal_role.yaml", "member-rbac/renewal_role_binding.yaml",
	}, memberNamespace, memberAccount
	if c.name == hubName {
		files, namespace, account = []string{
			"manager/namespace.yaml", "rbac/service_account.yaml", "rbac/role.yaml", "rbac/role_binding.yaml",
		}, operatorNamespace, operatorAccount
	}
	for _, file := range files {
		if err := c.createFile(ctx, filepath.Join(configDir, file), ""); err != nil {
			return err
		}
	}
	if c.name != hubName {
		if err := c.admitControlPlane(ctx, "member-rbac/controlplane/role_binding.yaml"); err != nil {
			return err
		}
	}
	if err := c.addNode(ctx); err != nil {
		return err
	}
	var err error
	c.token, err = c.tokenOf(ctx, namespace, account)
	return err
}

// admitControlPlane makes the control plane's namespace, if it is not there, and the permissions that hold there only, for the account
// of a binding.
func (c *cluster) admitControlPlane(ctx context.Context, binding string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlPlaneNamespace}}
	if err := c.admin.Create(ctx, ns); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("create namespace %s: %w", ns.Name, err)
	}
	for _, file := range []string{"member-rbac/controlplane/role.yaml", binding} {
		// Their kustomization gives them that namespace.
		if err := c.createFile(ctx, filepath.Join(configDir, file), ns.Name); err != nil {
			return err
		}
	}
	return nil
}

// addNode makes the node that the played pods would be on: an upgrade looks for room.
func (c *cluster) addNode(ctx context.Context) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.name + "-node"}}
	if err := c.admin.Create(ctx, n); err != nil {
		return fmt.Errorf("create node: %w", err)
	}
	n.Spec.Taints = nil
	if err := c.admin.Update(ctx, n); err != nil {
		return fmt.Errorf("let pods on the node: %w", err)
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	n.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("16"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return c.admin.Status().Update(ctx, n)
}

// createFile makes the objects of a file, in a namespace unless that is empty.
func (c *cluster) createFile(ctx context.Context, path, namespace string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if len(o.Object) == 0 {
			continue
		}
		if namespace != "" {
			o.SetNamespace(namespace)
		}
		if err := c.admin.Create(ctx, o); err != nil {
			return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
}

// tokenLife is the lifetime of tokens: long enough for CredentialCurrent.
const tokenLife = 24 * time.Hour

func (c *cluster) tokenOf(ctx context.Context, namespace, account string) (string, error) {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account, Namespace: namespace}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(tokenLife.Seconds()))}}
	if err := c.admin.SubResource("token").Create(ctx, sa, request); err != nil {
		return "", fmt.Errorf("request a token of %s/%s: %w", namespace, account, err)
	}
	return request.Status.Token, nil
}

// kubeconfigOption changes the kubeconfig of a member.
type kubeconfigOption func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)

// kubeconfig is what an administrator of the cluster would give to the hub.
func (c *cluster) kubeconfig(t *testing.T, options ...kubeconfigOption) []byte {
	t.Helper()
	at := &clientcmdapi.Cluster{Server: c.server(), CertificateAuthorityData: c.config.CAData}
	as := &clientcmdapi.AuthInfo{Token: c.token}
	for _, option := range options {
		option(at, as)
	}
	k := clientcmdapi.NewConfig()
	k.Clusters["cluster"], k.AuthInfos["user"] = at, as
	k.Contexts["context"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "user"}
	k.CurrentContext = "context"
	out, err := clientcmd.Write(*k)
	must(t, err)
	return out
}

// server is the URL of the API server.
func (c *cluster) server() string {
	if strings.HasPrefix(c.config.Host, "https://") {
		return c.config.Host
	}
	return "https://" + c.config.Host
}

// uid identifies the cluster.
func (c *cluster) uid(ctx context.Context) (string, error) {
	ns := &corev1.Namespace{}
	err := c.admin.Get(ctx, client.ObjectKey{Name: "kube-system"}, ns)
	return string(ns.UID), err
}
