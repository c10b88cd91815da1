package preflight

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio"
)

// injectorOf is the injector's configuration of 1.29.1 with such values.
func injectorOf(enabled string) string {
	return `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector-1-29-1, namespace: istio-system, labels: {istio.io/rev: 1-29-1}}
data: {values: '{"global": {}, "pilot": {"cni": {"enabled": ` + enabled + `, "provider": "default"}}}'}`
}

func plugin(namespace string, desired, ready int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-cni-node", Namespace: namespace, Labels: map[string]string{"k8s-app": "istio-cni-node"}},
		Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: desired, NumberReady: ready},
	}
}

func injected(namespace, init string) *corev1.Pod {
	p := running("app", "a", "1m", "1Mi")
	p.Namespace, p.Annotations = namespace, map[string]string{istio.InjectedAnnotation: "{}", istio.RevisionLabel: "1-28-3"}
	p.Spec.InitContainers = []corev1.Container{{Name: init}}
	return p
}

func TestCNI(t *testing.T) {
	secured := func(name, level string) *corev1.Namespace {
		return space(name, map[string]string{"istio.io/rev": "prod", enforceLabel: level}, nil)
	}
	cases := map[string]struct {
		enabled string
		cluster []client.Object
		// problem is a part of the only problem. Empty: none.
		problem, note string
	}{
		"enabled without a plugin": {enabled: "true",
			problem: "revision 1-29-1 relies on the CNI plugin (values `cni.enabled`, or those of the platform), and no DaemonSet has the label k8s-app=istio-cni-node"},
		"enabled, and another DaemonSet": {enabled: "true", cluster: []client.Object{&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "calico-node", Namespace: "kube-system"}}},
			problem: "no DaemonSet has the label"},
		"enabled, and the plugin is not ready":       {enabled: "true", cluster: []client.Object{plugin("kube-system", 3, 0)}, problem: "0 of 3 pods of DaemonSet kube-system/istio-cni-node are ready"},
		"enabled with a plugin":                      {enabled: "true", cluster: []client.Object{plugin("istio-system", 3, 2)}, note: "2 of 3 pods of the CNI plugin are ready"},
		"enabled, a restricted namespace":            {enabled: "true", cluster: []client.Object{plugin("istio-cni", 1, 1), secured("shop", "restricted"), injected("shop", "istio-validation")}, note: "1 of 1 pods of the CNI plugin are ready"},
		"off":                                        {enabled: "false", note: "init containers redirect traffic"},
		"off, a restricted namespace":                {enabled: "false", cluster: []client.Object{secured("shop", "restricted"), injected("shop", "istio-init")}, problem: "refuses restarted pods in namespaces shop (restricted), because sidecars of revision 1-29-1 have an init container with NET_ADMIN"},
		"off, a baseline namespace":                  {enabled: "false", cluster: []client.Object{secured("shop", "baseline"), injected("shop", "istio-init")}, problem: "namespaces shop (baseline)"},
		"off, and pods that relied on the plugin":    {enabled: "false", cluster: []client.Object{secured("shop", "restricted"), injected("shop", "istio-validation")}, problem: "namespaces shop (restricted)"},
		"off, a privileged namespace":                {enabled: "false", cluster: []client.Object{secured("shop", "privileged"), injected("shop", "istio-init")}, note: "init containers redirect traffic"},
		"off, gateways in a restricted namespace":    {enabled: "false", cluster: []client.Object{secured("edge", "restricted"), injected("edge", "other")}, note: "of edge would refuse sidecars, and no pod has one there"},
		"off, a restricted namespace of nobody":      {enabled: "false", cluster: []client.Object{space("plain", map[string]string{enforceLabel: "restricted"}, nil), injected("plain", "istio-init")}, note: "init containers redirect traffic"},
		"off, a restricted namespace of another tag": {enabled: "false", cluster: []client.Object{space("plain", map[string]string{"istio.io/rev": "other", enforceLabel: "restricted"}, nil), injected("plain", "istio-init")}, note: "init containers redirect traffic"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := subject(t, allowed{}, c.cluster...)
			m.After = append(m.After, object(t, injectorOf(c.enabled)))
			f, err := cni(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if c.problem == "" && (len(f.Problems) > 0 || !strings.Contains(f.Note, c.note)) {
				t.Errorf("got %+v, want note %q", f, c.note)
			}
			if c.problem != "" && (len(f.Problems) != 1 || !strings.Contains(f.Problems[0], c.problem)) {
				t.Errorf("problems %q, want %q", f.Problems, c.problem)
			}
		})
	}
}
