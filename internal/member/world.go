package member

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// page bounds what one answer of the API server may hold, in objects.
const page = 500

// World is what is read of a member's cluster: each list at most once in a pass, when it is first needed. What must be newer than the
// beginning of the pass, as after a write, is read by the client itself or from Pass.Look.
type World struct {
	client.Reader
	namespace string
	pods      *[]corev1.Pod
	names     *Names
}

// NewWorld reads by a client. The control plane's namespace is where the operator's own Deployments are.
func NewWorld(c client.Reader, namespace string) *World {
	return &World{Reader: c, namespace: namespace}
}

// Pods are all pods of the cluster, without what nothing of the operator asks for: volumes, containers, and who manages which field.
func (w *World) Pods(ctx context.Context) ([]corev1.Pod, error) {
	if w.pods != nil {
		return *w.pods, nil
	}
	var pods []corev1.Pod
	list := &corev1.PodList{}
	if err := Pages(ctx, w.Reader, list, func() error {
		for i := range list.Items {
			pods = append(pods, slim(&list.Items[i]))
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	w.pods = &pods
	return pods, nil
}

func slim(p *corev1.Pod) corev1.Pod {
	out := corev1.Pod{ObjectMeta: p.ObjectMeta, Status: p.Status}
	out.ManagedFields = nil
	out.Spec = corev1.PodSpec{NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork}
	return out
}

// Names are the objects that name a tag or a revision.
func (w *World) Names(ctx context.Context) (Names, error) {
	if w.names == nil {
		names, err := ReadNames(ctx, w.Reader, w.namespace)
		if err != nil {
			return Names{}, err
		}
		w.names = &names
	}
	return *w.names, nil
}

// Pages reads a list page by page: read is called for each.
func Pages(ctx context.Context, c client.Reader, list client.ObjectList, read func() error, options ...client.ListOption) error {
	for token := ""; ; {
		if err := c.List(ctx, list, append(slices.Clone(options), client.Limit(page), client.Continue(token))...); err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
		}
		if token = list.GetContinue(); token == "" {
			return nil
		}
	}
}

// ServingIstiods are the ready istiod pods of the revisions that are asked about peers, by name.
func ServingIstiods(ctx context.Context, remote client.Reader, spec *meshv1alpha1.MeshMemberSpec) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := remote.List(ctx, list, client.InNamespace(spec.ControlPlaneNamespace), client.MatchingLabels{"app": "istiod"}); err != nil {
		return nil, fmt.Errorf("list istiod pods: %w", err)
	}
	used := mesh.RevisionsAsked(spec)
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return !istio.IsReady(&p) || p.DeletionTimestamp != nil || !used[p.Labels[istio.RevisionLabel]]
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}
