package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
)

// injection passes when the revision adds its own proxy to a pod, in one namespace of each tag that will move. What
// differs from the proxy of the former revision is in the message.
func injection(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	namespaces, err := taggedNamespaces(ctx, m)
	if err != nil {
		return gate.Answer{}, err
	}
	pods, err := injectInto(ctx, m, m.To, namespaces)
	if err != nil || pods == nil {
		return gate.NoIstiod(m.To), err
	}
	var bad []string
	for _, p := range pods {
		if why := unfit(m, p); why != "" {
			bad = append(bad, fmt.Sprintf("in namespace %s: %s", p.namespace, why))
		}
	}
	if len(bad) > 0 {
		return gate.Fail("%s", mesh.Capped(bad)), nil
	}
	message := fmt.Sprintf("namespaces %s: image %s", mesh.Capped(namespaces), container(pods[0].pod, proxyContainer).Image)
	if m.From == "" {
		return gate.Pass("%s", message), nil
	}
	former, err := injectInto(ctx, m, m.From, namespaces[:1])
	switch {
	case err != nil:
		// The new proxy is proved; the comparison is for people to read.
		return gate.Pass("%s; cannot be compared with revision %s: %s", message, m.From, err), nil
	case len(former) == 0 || former[0].refusal != "" || container(former[0].pod, proxyContainer) == nil:
		return gate.Pass("%s; revision %s injects nothing to compare with", message, m.From), nil
	}
	return gate.Pass("%s; %s", message, difference(former[0].pod, pods[0].pod)), nil
}

// taggedNamespaces finds one namespace for each tag, or that of the control plane if no tag is used.
func taggedNamespaces(ctx context.Context, m *gate.Subject) ([]string, error) {
	var names []string
	find := func(selector string) error {
		s, err := labels.Parse(selector)
		if err != nil {
			return fmt.Errorf("read selector %q: %w", selector, err)
		}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
		if err := m.Client.List(ctx, list, client.MatchingLabelsSelector{Selector: s}, client.Limit(1)); err != nil {
			return fmt.Errorf("list namespaces with %s: %w", selector, err)
		}
		for i := range list.Items {
			names = append(names, list.Items[i].Name)
		}
		return nil
	}
	for _, tag := range m.Tags {
		if err := find(fmt.Sprintf("%s=%s,!istio-injection", istio.RevisionLabel, tag)); err != nil {
			return nil, err
		}
		if tag == controlplane.DefaultTag {
			if err := find("istio-injection=enabled"); err != nil {
				return nil, err
			}
		}
	}
	if len(names) == 0 {
		names = []string{m.Namespace}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// injected is the answer about a pod of one namespace.
type injected struct {
	namespace string
	pod       *corev1.Pod
	refusal   string
}

// injectInto asks the first istiod pod of a revision that serves; all have the same configuration. The result is nil
// when none serves.
func injectInto(ctx context.Context, m *gate.Subject, revision string, namespaces []string) ([]injected, error) {
	names, err := readyIstiods(ctx, m, revision)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	hook, err := injector(ctx, m, revision)
	if err != nil {
		return nil, err
	}
	r := newReviewer(m, names[0], hook)
	defer r.close()
	out := make([]injected, 0, len(namespaces))
	for _, ns := range namespaces {
		pod, refused, err := r.inject(ctx, ns)
		if err != nil {
			return nil, fmt.Errorf("ask istiod pod %s to inject: %w", names[0], err)
		}
		out = append(out, injected{ns, pod, refused})
	}
	return out, nil
}

// inject lets istiod change the smallest pod that it injects.
func (r reviewer) inject(ctx context.Context, namespace string) (pod *corev1.Pod, refused string, err error) {
	pod = &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "meshfleet-gate", Namespace: namespace,
			Labels: map[string]string{"sidecar.istio.io/inject": "true"}},
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
	resp, err := r.create(ctx, metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, pod)
	switch {
	case err != nil:
		return nil, "", err
	case !resp.Allowed:
		return nil, refusal(resp), nil
	case len(resp.Patch) == 0:
		return pod, "", nil
	}
	patch, err := jsonpatch.DecodePatch(resp.Patch)
	if err != nil {
		return nil, "", fmt.Errorf("read the patch: %w", err)
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		return nil, "", fmt.Errorf("write the pod: %w", err)
	}
	if raw, err = patch.Apply(raw); err != nil {
		return nil, "", fmt.Errorf("apply the patch: %w", err)
	}
	pod = &corev1.Pod{}
	if err := json.Unmarshal(raw, pod); err != nil {
		return nil, "", fmt.Errorf("read the injected pod: %w", err)
	}
	return pod, "", nil
}

// unfit is the reason why an injected pod is not what the revision should make. An image of another patch is what values may ask for, as for
// the images of charts. One whose tag tells no version, such as a digest or a name of a mirror, is taken as it is configured.
func unfit(m *gate.Subject, i injected) string {
	if i.refusal != "" {
		return i.refusal
	}
	proxy := container(i.pod, proxyContainer)
	if proxy == nil {
		return "no proxy is injected"
	}
	if rev := i.pod.Annotations[istio.RevisionLabel]; rev != m.To {
		return fmt.Sprintf("the pod gets revision %q instead of %q", rev, m.To)
	}
	if minor, isOther := istioversion.OtherMinor(tag(proxy.Image), m.ToVersion); isOther {
		return fmt.Sprintf("image %s is of Istio %s, and the release is %s", proxy.Image, minor, m.ToVersion)
	}
	return ""
}

// tag of an image. It is empty where the image has a digest alone: the port of a registry is before the last slash.
func tag(image string) string {
	image, _, _ = strings.Cut(image[strings.LastIndexByte(image, '/')+1:], "@")
	_, tag, _ := strings.Cut(image, ":")
	return tag
}

func container(p *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// difference lists how two injected pods differ: containers, whether they start before the others, images and names of
// variables. Values of variables name the revision and differ always.
func difference(from, to *corev1.Pod) string {
	before, after := traits(from), traits(to)
	var diff []string
	for key, value := range after {
		switch old, ok := before[key]; {
		case !ok:
			diff = append(diff, key+" added")
		case old != value:
			diff = append(diff, key+" "+old+" → "+value)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			diff = append(diff, key+" removed")
		}
	}
	if len(diff) == 0 {
		return "no difference from the former proxy"
	}
	slices.Sort(diff)
	return "differs from the former proxy: " + mesh.Shorten(strings.Join(diff, ", "), 600)
}

// traits are what is compared of a pod.
func traits(p *corev1.Pod) map[string]string {
	out := map[string]string{}
	add := func(where string, containers []corev1.Container) {
		for i := range containers {
			c := &containers[i]
			out[c.Name+" as"] = where
			out[c.Name+" image"] = c.Image
			for _, e := range c.Env {
				out[c.Name+" env "+e.Name] = ""
			}
		}
	}
	add("container", p.Spec.Containers)
	add("init container", p.Spec.InitContainers)
	return out
}
