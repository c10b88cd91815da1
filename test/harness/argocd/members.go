package argocd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
)

// memberLabel selects the clusters in which the sample installs the operator's permissions.
const memberLabel = "meshfleet.example.com/mesh=shop"

// secretDeadline is far above what Argo CD takes to apply the objects of a member.
const secretDeadline = 5 * time.Minute

// CLI runs the command line of Argo CD against its API server, and returns what it prints.
func (a *ArgoCD) CLI(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(a.programs, "argocd"), args...)
	cmd.Env = append(os.Environ(), "HOME="+a.dir, "ARGOCD_SERVER=127.0.0.1:"+a.ports[server], "ARGOCD_OPTS=--plaintext", "ARGOCD_AUTH_TOKEN=none")
	cmd.Dir = a.dir
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("argocd %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// AddCluster registers a cluster as the guide does: `argocd cluster add`.
func (a *ArgoCD) AddCluster(ctx context.Context, name string) error {
	kubeconfig := a.env.Cluster(name).Kubeconfig
	current, err := a.env.Kubectl(ctx, name, "config", "current-context")
	if err != nil {
		return err
	}
	_, err = a.CLI(ctx, "cluster", "add", strings.TrimSpace(current), "--kubeconfig", kubeconfig, "--name", name, "--label", memberLabel, "--yes")
	return err
}

// secretKinds are what the sample has the kubeconfigs of members in, and the condition that their controllers set.
var secretKinds = []struct{ group, version, kind, plural, condition string }{
	{"external-secrets.io", "v1", "ExternalSecret", "externalsecrets", "Ready"},
	{"bitnami.com", "v1alpha1", "SealedSecret", "sealedsecrets", "Synced"},
}

// DefineSecretKinds gives the hub the kinds of External Secrets and Sealed Secrets, without their controllers.
func DefineSecretKinds(ctx context.Context, env *harness.Env) error {
	for _, k := range secretKinds {
		manifest := fmt.Sprintf(secretKind, k.plural+"."+k.group, k.group, k.kind, k.plural, strings.ToLower(k.kind), k.version)
		if err := env.Hub.Apply(ctx, manifest); err != nil {
			return err
		}
	}
	return nil
}

const secretKind = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %s
spec:
  group: %s
  names: {kind: %s, plural: %s, singular: %s}
  scope: Namespaced
  versions:
  - name: %s
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

// JoinMember does what External Secrets or Sealed Secrets do: it waits for the object that Argo CD applies, writes the Secret, and
// reports that in the object.
func (a *ArgoCD) JoinMember(ctx context.Context, member string) error {
	var found *unstructured.Unstructured
	condition := ""
	what := "Argo CD to apply the kubeconfig of " + member
	err := harness.Await(ctx, what, secretDeadline, func(ctx context.Context) (bool, string, error) {
		for _, k := range secretKinds {
			u := &unstructured.Unstructured{}
			u.SetAPIVersion(k.group + "/" + k.version)
			u.SetKind(k.kind)
			key := client.ObjectKey{Namespace: harness.OperatorNamespace, Name: harness.KubeconfigSecretName(member)}
			err := a.env.Hub.Client.Get(ctx, key, u)
			if err == nil {
				found, condition = u, k.condition
				return true, "", nil
			}
			if client.IgnoreNotFound(err) != nil {
				return false, "", err
			}
		}
		return false, "neither an ExternalSecret nor a SealedSecret", nil
	})
	if err != nil {
		return err
	}
	if err := a.env.JoinMember(ctx, member); err != nil {
		return err
	}
	patch := client.MergeFrom(found.DeepCopy())
	conditions := []any{map[string]any{"type": condition, "status": "True"}}
	if err := unstructured.SetNestedSlice(found.Object, conditions, "status", "conditions"); err != nil {
		return fmt.Errorf("report that the kubeconfig of %s is written: %w", member, err)
	}
	if err := a.env.Hub.Client.Patch(ctx, found, patch); err != nil {
		return fmt.Errorf("report that the kubeconfig of %s is written: %w", member, err)
	}
	return nil
}
