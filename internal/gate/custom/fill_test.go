package custom

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
)

func TestFill(t *testing.T) {
	m := customSubject()
	m.Client = fake.NewClientBuilder().WithLists(&corev1.PodList{Items: []corev1.Pod{
		proxied("web-1.a", "1-29-1"), proxied("api-1", "1-29-1"), proxied("api-0", "1-28-3"),
	}}).Build()
	got, err := fill(t.Context(), m, `a{m="$(member)",n="$(namespace)",f="$(from)",t="$(to)",r="$(revision)",v="$(version)",p=~"$(pods)"}`, "1-29-1", "1.29.1")
	want := `a{m="east",n="istio-system",f="1-28-3",t="1-29-1",r="1-29-1",v="1.29.1",p=~"api-1|web-1[.]a"}`
	if err != nil || got != want {
		t.Errorf("fill = %s, %v, want %s", got, err, want)
	}
	spec := &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: promised(t, nil)}, Query: `p="$(pods)"`, Max: "1", Compare: meshv1alpha1.ComparisonRatio,
	}
	m.From = "1-27-0"
	r, err := read(t.Context(), m, spec, bounds{})
	if err != nil || !r.isOver || !strings.Contains(r.why, "no pod has a proxy of the revision 1-27-0") {
		t.Errorf("without pods to compare with: %+v, %v", r, err)
	}
}

func proxied(name, revision string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "shop", Labels: map[string]string{gate.InjectedLabel: name}, Annotations: map[string]string{istio.RevisionLabel: revision},
	}}
}
