package membertest

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// IstiodPod is a pod of a revision's istiod, ready unless changed.
func IstiodPod(name, revision string, change ...func(*corev1.Pod)) *corev1.Pod {
	return changed(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.ControlPlane, Name: name, Labels: map[string]string{"app": "istiod", istio.RevisionLabel: revision}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}, change)
}

// ProxyPod is a pod that was given a proxy of a revision.
func ProxyPod(namespace, name, revision string, change ...func(*corev1.Pod)) *corev1.Pod {
	return changed(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{}, Annotations: map[string]string{
		istio.RevisionLabel: revision, istio.InjectedAnnotation: "{}",
	}}}, change)
}

// Leaving makes a pod that is being deleted, and should be gone so long before testutil.Now, on node-1.
func Leaving(ago time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Finalizers, p.DeletionTimestamp = []string{"test/stops"}, &metav1.Time{Time: testutil.Now.Add(-ago)}
		p.Spec.NodeName = "node-1"
	}
}

func changed(p *corev1.Pod, change []func(*corev1.Pod)) *corev1.Pod {
	for _, c := range change {
		c(p)
	}
	return p
}

// NamespaceOf is a namespace whose label names a tag or a revision.
func NamespaceOf(name, revision string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{istio.RevisionLabel: revision}}}
}
