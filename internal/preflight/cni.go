package preflight

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio"
)

const (
	injectorConfig = "istio-sidecar-injector"
	enforceLabel   = "pod-security.kubernetes.io/enforce"
	// cniPlugin is the value of the label k8s-app on the DaemonSet of the CNI plugin and on its pods.
	cniPlugin = "istio-cni-node"
)

// cni asks whether new sidecars can redirect traffic: by the CNI plugin if the target relies on it, else by an init container
// that each namespace of the mesh must admit.
func cni(ctx context.Context, m *Subject) (Finding, error) {
	relies, asks, err := m.redirection()
	if err != nil {
		return Finding{}, err
	}
	out := Finding{Note: "no revision is added or changed"}
	if relies != "" {
		if err := m.cniPlugin(ctx, relies, &out); err != nil {
			return out, err
		}
	}
	if asks != "" {
		if err := m.podSecurity(ctx, asks, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// CNIPlugin asks whether the CNI plugin runs, if one of the injectors of a member relies on it: their ConfigMaps. Not asked: none relies.
func CNIPlugin(ctx context.Context, c client.Client, injectors []*unstructured.Unstructured) (f Finding, isAsked bool, err error) {
	m := &Subject{Client: c, After: injectors}
	relies, _, err := m.redirection()
	if err != nil || relies == "" {
		return f, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = m.cniPlugin(ctx, relies, &f)
	return f, true, err
}

// InjectorName is the name of the ConfigMap of a revision's injector.
func InjectorName(revision string) string { return injectorConfig + "-" + revision }

// redirection names a revision whose sidecars rely on the CNI plugin, and one whose sidecars have an init container with
// NET_ADMIN. The values for the injector have the chart's defaults and platform in them.
func (m *Subject) redirection() (relies, asks string, err error) {
	for _, o := range ofKind(m.After, "ConfigMap") {
		if !strings.HasPrefix(o.GetName(), injectorConfig) {
			continue
		}
		text, _, err := unstructured.NestedString(o.Object, "data", "values")
		if err != nil {
			return "", "", fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		values := struct {
			Pilot struct {
				CNI struct {
					Enabled bool `json:"enabled"`
				} `json:"cni"`
			} `json:"pilot"`
		}{}
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			return "", "", fmt.Errorf("read the values in %s: %w", identityOf(o), err)
		}
		if revision := o.GetLabels()[istio.RevisionLabel]; values.Pilot.CNI.Enabled {
			relies = revision
		} else {
			asks = revision
		}
	}
	return relies, asks, nil
}

// cniPlugin looks for the DaemonSet of the CNI plugin, in any namespace.
func (m *Subject) cniPlugin(ctx context.Context, revision string, out *Finding) error {
	sets := &appsv1.DaemonSetList{}
	if err := m.Client.List(ctx, sets, client.MatchingLabels{"k8s-app": cniPlugin}); err != nil {
		return fmt.Errorf("list DaemonSets: %w", err)
	}
	var ready, desired int32
	for i := range sets.Items {
		ready, desired = ready+sets.Items[i].Status.NumberReady, desired+sets.Items[i].Status.DesiredNumberScheduled
	}
	switch {
	case len(sets.Items) == 0:
		out.Problems = append(out.Problems, fmt.Sprintf("revision %s relies on the CNI plugin (values `cni.enabled`, or those of the platform), and no "+
			"DaemonSet has the label k8s-app=%s; sidecars of new pods would not start: install the chart istio-cni in the member, or set "+
			"`cni.enabled: false` in the values", revision, cniPlugin))
	case ready == 0:
		out.Problems = append(out.Problems, fmt.Sprintf("revision %s relies on the CNI plugin, and 0 of %d pods of DaemonSet %s/%s are ready: "+
			"see why these pods do not run", revision, desired, sets.Items[0].Namespace, sets.Items[0].Name))
	default:
		out.Note = fmt.Sprintf("%d of %d pods of the CNI plugin are ready", ready, desired)
	}
	return nil
}

// podSecurity names the namespaces with sidecars whose Pod Security level refuses the init container of new ones. A
// namespace without such pods is only mentioned: the upgrade restarts nothing there.
func (m *Subject) podSecurity(ctx context.Context, revision string, out *Finding) error {
	namespaces, err := m.meshNamespaces(ctx)
	if err != nil {
		return err
	}
	var refused, unused []string
	for _, n := range namespaces {
		// Both levels allow a container to add other capabilities only.
		level := n.labels[enforceLabel]
		if level != "baseline" && level != "restricted" {
			continue
		}
		hasSidecars, err := m.hasRedirectedPods(ctx, n.name)
		if err != nil {
			return err
		}
		if hasSidecars {
			refused = append(refused, n.name+" ("+level+")")
		} else {
			unused = append(unused, n.name)
		}
	}
	out.Note = "init containers redirect traffic"
	if len(unused) > 0 {
		out.Note += fmt.Sprintf("; the Pod Security level of %s would refuse sidecars, and no pod has one there", some(unused, ", "))
	}
	if len(refused) > 0 {
		out.Problems = append(out.Problems, fmt.Sprintf("the Pod Security level refuses restarted pods in namespaces %s, because sidecars of revision %s have "+
			"an init container with NET_ADMIN: install the chart istio-cni in the member and set `cni.enabled: true` in the values, or set "+
			"the label %s=privileged on these namespaces", some(refused, ", "), revision, enforceLabel))
	}
	return nil
}

// hasRedirectedPods says whether pods of a namespace have a sidecar and the init container for it, of either kind.
func (m *Subject) hasRedirectedPods(ctx context.Context, namespace string) (bool, error) {
	has := false
	pods := &corev1.PodList{}
	err := pages(ctx, m.Client, pods, func() {
		has = has || slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
			return istio.ProxyRevision(&p) != "" && slices.ContainsFunc(p.Spec.InitContainers, func(c corev1.Container) bool {
				return c.Name == "istio-init" || c.Name == "istio-validation"
			})
		})
	}, client.InNamespace(namespace))
	if err != nil {
		return false, fmt.Errorf("list pods of namespace %s: %w", namespace, err)
	}
	return has, nil
}
