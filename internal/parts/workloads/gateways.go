package workloads

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// gatewayOf names the Gateway for which istiod has made an object, empty if it has not.
func gatewayOf(o metav1.Object) string {
	if o.GetLabels()[istio.ManagedGatewayLabel] == "" {
		return ""
	}
	for _, ref := range o.GetOwnerReferences() {
		if group, _, _ := strings.Cut(ref.APIVersion, "/"); ref.Kind == member.GatewayKind.Kind && group == member.GatewayKind.Group {
			return ref.Name
		}
	}
	return ""
}

// readGateways reads the labels of all Gateways, if any workload was made for one.
func readGateways(ctx context.Context, c client.Reader, w *World) error {
	needed := false
	for _, o := range w.Workloads {
		needed = needed || o.Gateway != ""
	}
	if !needed {
		return nil
	}
	w.Gateways = map[types.NamespacedName]map[string]string{}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(member.GatewayKind.GroupVersion().WithKind(member.GatewayKind.Kind + "List"))
	err := member.Pages(ctx, c, list, func() error {
		for i := range list.Items {
			w.Gateways[client.ObjectKeyFromObject(&list.Items[i])] = list.Items[i].Labels
		}
		return nil
	})
	if err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("list Gateways: %w", err)
	}
	return nil
}

// chooseGateway is choose for what istiod makes for a Gateway, and follows istiod: the label of the Gateway itself beats
// that of its namespace, a tag is as good as a revision, and no label is the default tag. How a namespace is injected does
// not matter.
func chooseGateway(gateway, namespace map[string]string, r Request) selection {
	name, isOwn := gateway[istio.RevisionLabel]
	where := "its Gateway"
	if !isOwn {
		name, where = namespace[istio.RevisionLabel], "its namespace"
	}
	if name == "" {
		name = defaultTag
	}
	if revision, isTag := r.Tags[name]; isTag {
		return selection{revision: revision}
	}
	if slices.Contains(r.Revisions, name) {
		return selection{skip: fmt.Sprintf("is pinned to revision %s by the label %s of %s: take the label off, or name a tag in it",
			name, istio.RevisionLabel, where)}
	}
	return selection{skip: fmt.Sprintf("the label %s of %s asks for %s, which is neither a tag nor an installed revision: no istiod keeps it",
		istio.RevisionLabel, where, name)}
}

// isGateway says that istiod makes it for a Gateway.
func (c *candidate) isGateway() bool { return c.workload.Gateway != "" }

// gateway reports what istiod makes for a Gateway. Istiod of the wanted revision replaces its pods as soon as the tag has
// moved, at any rate and all such workloads at once, so the operator only waits. It does not wait for the new pods to
// serve: whether they must is for the gates to say, which know how it was before.
func (p *planner) gateway(c *candidate) {
	if c.workload.isReplaced(c.revision) && !c.differs(true) {
		p.Moved++
		return
	}
	reason := "istiod replaces its pods"
	if c.workload.Rendered != c.revision {
		reason = "istiod of revision " + c.revision + " has not taken it over yet"
	}
	p.Restarting = append(p.Restarting, c.entry(reason, c.failure(), c.workload.Obstacle))
	p.occupy(c)
}
