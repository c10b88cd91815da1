package member

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kinds of what runs pods and of what says how they are injected.
const (
	KindDeployment  = "Deployment"
	KindStatefulSet = "StatefulSet"
	KindDaemonSet   = "DaemonSet"
	KindReplicaSet  = "ReplicaSet"
	KindPod         = "Pod"
	KindJob         = "Job"
	KindCronJob     = "CronJob"
	KindNamespace   = "Namespace"
)

// GatewayKind is the Gateway of the Gateway API.
var GatewayKind = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}

// Reference names an object. Kinds outside of Kubernetes' own carry their group, as in `Rollout.argoproj.io`.
type Reference struct {
	Kind, Namespace, Name string
}

func (r Reference) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// Compare orders by namespace, kind and name.
func (r Reference) Compare(o Reference) int {
	return cmp.Or(cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.Name, o.Name))
}

// Controller names the controller of an object. Only the kinds of Kubernetes itself go without their group.
func Controller(o metav1.Object) Reference {
	c := metav1.GetControllerOf(o)
	if c == nil {
		return Reference{}
	}
	kind := c.Kind
	group, _, hasGroup := strings.Cut(c.APIVersion, "/")
	if hasGroup && group != "apps" && group != "batch" {
		kind += "." + group
	}
	return Reference{Kind: kind, Namespace: o.GetNamespace(), Name: c.Name}
}
