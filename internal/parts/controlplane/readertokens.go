package controlplane

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	discoveryContainer = "discovery"
	readerTokensVolume = "meshfleet-reader-tokens"
	// kubeconfigOptions lists what istiod accepts in the kubeconfig of a remote secret beyond what it holds to be safe. Files of
	// tokens are not, because a remote secret could name any file; here only the operator writes remote secrets, and a token that
	// istiod reads is sent to the server of that same Secret.
	kubeconfigOptions = "PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS"
	tokenFileOption   = "tokenFile"
)

// PrepareDiscovery makes istiod's Deployment read the tokens of peers from files, and carry the last restart that was ordered. The member's
// chart values cannot do it: values that are lists replace those of the user.
func PrepareDiscovery(m *meshv1alpha1.MeshMemberSpec, deployment *unstructured.Unstructured) error {
	if err := orderRestart(m, deployment); err != nil {
		return err
	}
	return mountTokens(m, deployment)
}

// orderRestart makes a Deployment carry the last restart that was ordered.
func orderRestart(m *meshv1alpha1.MeshMemberSpec, deployment *unstructured.Unstructured) error {
	if m.IstiodRestart == nil {
		return nil
	}
	if err := unstructured.SetNestedField(deployment.Object, mesh.RestartedAt(m.IstiodRestart),
		"spec", "template", "metadata", "annotations", mesh.RestartAnnotation); err != nil {
		return fmt.Errorf("annotate the pods of Deployment %q: %w", deployment.GetName(), err)
	}
	return nil
}

// mountTokens makes istiod's Deployment read the tokens of peers from files.
func mountTokens(m *meshv1alpha1.MeshMemberSpec, deployment *unstructured.Unstructured) error {
	if !mesh.ReadsTokenFiles(m) {
		return nil
	}
	if err := editList(deployment, tokenVolume(), "spec", "template", "spec", "volumes"); err != nil {
		return err
	}
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return fmt.Errorf("containers of Deployment %q: %w", deployment.GetName(), err)
	}
	i := slices.IndexFunc(containers, isNamed(discoveryContainer))
	if i < 0 {
		return fmt.Errorf("deployment %q has no container %q", deployment.GetName(), discoveryContainer)
	}
	container := containers[i].(map[string]any) //nolint:forcetypeassert // isNamed found it as a map
	mounts, _ := container["volumeMounts"].([]any)
	container["volumeMounts"] = put(mounts, map[string]any{"name": readerTokensVolume, "mountPath": mesh.ReaderTokensPath, "readOnly": true})
	env, _ := container["env"].([]any)
	container["env"] = put(env, map[string]any{"name": kubeconfigOptions, "value": withOption(env)})
	return unstructured.SetNestedSlice(deployment.Object, containers, "spec", "template", "spec", "containers")
}

// tokenVolume has the tokens of all peers in one directory. The Secrets are optional: a member without peers has none.
func tokenVolume() map[string]any {
	var sources []any
	for i := range mesh.ReaderTokensSecrets {
		sources = append(sources, map[string]any{"secret": map[string]any{"name": mesh.ReaderTokensSecretName(i), "optional": true}})
	}
	return map[string]any{"name": readerTokensVolume, "projected": map[string]any{"sources": sources}}
}

// withOption is the list of options that the user set, with the operator's own.
func withOption(env []any) string {
	i := slices.IndexFunc(env, isNamed(kubeconfigOptions))
	if i < 0 {
		return tokenFileOption
	}
	value, _ := env[i].(map[string]any)["value"].(string)
	options := slices.DeleteFunc(strings.Split(value, ","), func(o string) bool { return o == "" })
	if !slices.Contains(options, tokenFileOption) {
		options = append(options, tokenFileOption)
	}
	return strings.Join(options, ",")
}

func isNamed(name string) func(any) bool {
	return func(v any) bool {
		m, ok := v.(map[string]any)
		return ok && m["name"] == name
	}
}

// put replaces the item of the same name in a list, or appends it.
func put(list []any, item map[string]any) []any {
	name, _ := item["name"].(string)
	if i := slices.IndexFunc(list, isNamed(name)); i >= 0 {
		list = slices.Clone(list)
		list[i] = item
		return list
	}
	return append(slices.Clone(list), item)
}

func editList(o *unstructured.Unstructured, item map[string]any, fields ...string) error {
	list, _, err := unstructured.NestedSlice(o.Object, fields...)
	if err != nil {
		return fmt.Errorf("%s of Deployment %q: %w", strings.Join(fields, "."), o.GetName(), err)
	}
	return unstructured.SetNestedSlice(o.Object, put(list, item), fields...)
}
