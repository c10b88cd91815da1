package member

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
)

// Names are the objects of a member that name a tag or a revision by the label istio.io/rev: namespaces, Gateways of the Gateway
// API, pod templates and pods. Without the webhook of that name, the pods that they make next get no proxy.
type Names struct {
	// controlPlane is the namespace of istiod, whose pods carry their revision in the same label.
	controlPlane string
	// holders by the name in their label.
	holders map[string]map[Reference]bool
	// silent are workloads that add nothing, nor do their pods: the operator's Deployments go with their revision, those of a
	// Gateway follow that, and a Job its CronJob.
	silent map[Reference]bool
	// unknown are the kinds that may not be listed.
	unknown []string
}

// Of are the holders of a tag or a revision: namespaces and Gateways first, which have the most pods behind them.
func (n Names) Of(name string) []string {
	rank := func(r Reference) int { return slices.Index([]string{GatewayKind.Kind, KindNamespace}, r.Kind) }
	refs := make([]Reference, 0, len(n.holders[name]))
	for ref := range n.holders[name] {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b Reference) int { return cmp.Or(rank(b)-rank(a), a.Compare(b)) })
	out := make([]string, 0, len(refs))
	for _, ref := range refs {
		out = append(out, ref.String())
	}
	return out
}

// Unknown are the kinds that the credential may not list. Objects of these kinds may name anything.
func (n Names) Unknown() []string { return n.unknown }

// ReadNames reads the member once, page by page, and of most objects the metadata only. Templates come before their pods: a pod
// adds nothing to its workload. The control plane's namespace is where the operator's own Deployments are.
func ReadNames(ctx context.Context, c client.Reader, controlPlane string) (Names, error) {
	n := Names{controlPlane: controlPlane, holders: map[string]map[Reference]bool{}, silent: map[Reference]bool{}}
	template := func(kind string, o metav1.Object, t *corev1.PodTemplateSpec) {
		ref := Reference{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
		if o.GetLabels()[istio.ManagedGatewayLabel] != "" || o.GetNamespace() == controlPlane && o.GetLabels()[meshv1alpha1.LabelInstallation] != "" {
			n.silent[ref] = true
			return
		}
		n.add(t.Labels[istio.RevisionLabel], ref)
	}
	labelled := client.HasLabels{istio.RevisionLabel}
	for _, l := range []struct {
		what    string
		list    client.ObjectList
		read    func(client.ObjectList)
		options []client.ListOption
	}{
		{"namespaces", metadataOf(corev1.SchemeGroupVersion.WithKind(KindNamespace)), each(n.metadata(KindNamespace)), []client.ListOption{labelled}},
		{"Gateways", metadataOf(GatewayKind), each(n.metadata(GatewayKind.Kind)), []client.ListOption{labelled}},
		{"Deployments", &appsv1.DeploymentList{}, each(func(o *appsv1.Deployment) { template(KindDeployment, o, &o.Spec.Template) }), nil},
		{"StatefulSets", &appsv1.StatefulSetList{}, each(func(o *appsv1.StatefulSet) { template(KindStatefulSet, o, &o.Spec.Template) }), nil},
		{"DaemonSets", &appsv1.DaemonSetList{}, each(func(o *appsv1.DaemonSet) { template(KindDaemonSet, o, &o.Spec.Template) }), nil},
		{"CronJobs", &batchv1.CronJobList{}, each(func(o *batchv1.CronJob) { template(KindCronJob, o, &o.Spec.JobTemplate.Spec.Template) }), nil},
		{"Jobs", &batchv1.JobList{}, each(n.job), nil},
		{"pods", &corev1.PodList{}, each(n.pod), []client.ListOption{labelled}},
	} {
		err := Pages(ctx, c, l.list, func() error { l.read(l.list); return nil }, l.options...)
		switch {
		case apierrors.IsForbidden(err):
			n.unknown = append(n.unknown, l.what)
		case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
			// The cluster has no such kind.
		case err != nil:
			return Names{}, fmt.Errorf("list %s: %w", l.what, err)
		}
	}
	return n, nil
}

func metadataOf(kind schema.GroupVersionKind) client.ObjectList {
	list := &metav1.PartialObjectMetadataList{}
	kind.Kind += "List"
	list.SetGroupVersionKind(kind)
	return list
}

// each reads the items of a list.
func each[T any](read func(*T)) func(client.ObjectList) {
	return func(list client.ObjectList) {
		// A list always has items, of the type that it was made for.
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			if item, ok := any(o).(*T); ok {
				read(item)
			}
			return nil
		})
	}
}

// add notes that an object names something, if it does.
func (n Names) add(name string, ref Reference) {
	if name == "" {
		return
	}
	if n.holders[name] == nil {
		n.holders[name] = map[Reference]bool{}
	}
	n.holders[name][ref] = true
}

// metadata reads objects whose own label counts.
func (n Names) metadata(kind string) func(*metav1.PartialObjectMetadata) {
	return func(o *metav1.PartialObjectMetadata) {
		if o.DeletionTimestamp == nil {
			n.add(o.Labels[istio.RevisionLabel], Reference{Kind: kind, Namespace: o.Namespace, Name: o.Name})
		}
	}
}

// job reads a Job that may still make pods, unless its CronJob tells as much.
func (n Names) job(j *batchv1.Job) {
	hasEnded := slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
	name, ref := j.Spec.Template.Labels[istio.RevisionLabel], Reference{Kind: KindJob, Namespace: j.Namespace, Name: j.Name}
	switch {
	case n.holders[name][Controller(j)]:
		n.silent[ref] = true
	case !hasEnded && j.DeletionTimestamp == nil:
		n.add(name, ref)
	}
}

// pod reads a pod that is there to stay, unless its workload tells as much.
func (n Names) pod(p *corev1.Pod) {
	name, workload := p.Labels[istio.RevisionLabel], workloadOf(p)
	isLeaving := p.DeletionTimestamp != nil || istio.HasFinished(p)
	isMesh := istio.IsIstiod(p, n.controlPlane) || p.Labels[istio.ManagedGatewayLabel] != ""
	if !isLeaving && !isMesh && !n.silent[workload] && !n.holders[name][workload] {
		n.add(name, Reference{Kind: KindPod, Namespace: p.Namespace, Name: p.Name})
	}
}

// workloadOf is what makes a pod. A Deployment's ReplicaSet is named after it and the hash that its pods have as a label.
func workloadOf(p *corev1.Pod) Reference {
	ref := Controller(p)
	name, isDeployments := strings.CutSuffix(ref.Name, "-"+p.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
	if ref.Kind == KindReplicaSet && isDeployments {
		return Reference{Kind: KindDeployment, Namespace: p.Namespace, Name: name}
	}
	return ref
}
