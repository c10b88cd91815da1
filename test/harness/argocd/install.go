package argocd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// notInstalled are the kinds that run Argo CD in pods, and reach or protect those pods.
var notInstalled = []string{"Deployment", "StatefulSet", "Service", "NetworkPolicy"}

// install applies Argo CD's own manifests to the hub, without its pods.
func (a *ArgoCD) install(ctx context.Context) error {
	content, err := os.ReadFile(filepath.Join(a.programs, "install.yaml"))
	if err != nil {
		return fmt.Errorf("read the manifests of Argo CD, which `bin/labctl build --argo-cd` provides: %w", err)
	}
	manifest, err := without(content, notInstalled)
	if err != nil {
		return err
	}
	path := filepath.Join(a.dir, "install.yaml")
	if err := os.WriteFile(path, manifest, 0o600); err != nil {
		return fmt.Errorf("write the manifests of Argo CD: %w", err)
	}
	if err := a.env.Hub.Apply(ctx, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: "+Namespace+"\n"); err != nil {
		return err
	}
	return a.Kubectl(ctx, "-n", Namespace, "apply", "--server-side", "--force-conflicts", "-f", path)
}

// without is a stream of manifests without those of the kinds given.
func without(stream []byte, kinds []string) ([]byte, error) {
	var out bytes.Buffer
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096)
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the manifests of Argo CD: %w", err)
		}
		kind, _ := object["kind"].(string)
		if kind == "" || slices.Contains(kinds, kind) {
			continue
		}
		manifest, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", kind, err)
		}
		out.WriteString("---\n")
		out.Write(manifest)
	}
}

// kubeconfig writes a kubeconfig for the hub with a token of a ServiceAccount of Argo CD, and returns its path.
func (a *ArgoCD) kubeconfig(ctx context.Context, account string) (string, error) {
	life := int64(lifetime.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &life}}
	token, err := a.env.Hub.Clientset.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("create a token of ServiceAccount %s: %w", account, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["hub"] = &clientcmdapi.Cluster{Server: a.env.Hub.Config.Host, CertificateAuthorityData: a.env.Hub.Config.CAData}
	config.AuthInfos[account] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["hub"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: account, Namespace: Namespace}
	config.CurrentContext = "hub"
	path := filepath.Join(a.dir, account+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("write the kubeconfig of %s: %w", account, err)
	}
	return path, nil
}
