package eastwest

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/rendering"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestAGatewayKeepsItsRendering lets one operator release install a gateway, and another one take over: it must not roll the gateway's pods,
// and still announces it.
func TestAGatewayKeepsItsRendering(t *testing.T) {
	inPlace := func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions[0].Gateway.Replacement = meshv1alpha1.GatewayReplacementInPlace
	}
	same := func(*meshv1alpha1.MeshMember) {}
	moreReplicas := func(m *meshv1alpha1.MeshMember) { m.Spec.GatewayReplicas.Min = 4 }
	otherNetwork := func(m *meshv1alpha1.MeshMember) { m.Spec.Network = "other" }
	cases := map[string]struct {
		version string
		options func(*meshv1alpha1.MeshMember)
		// change is what happens to the work order before the other operator comes.
		change func(*meshv1alpha1.MeshMember)
		// want is who has rendered what the other one applies. Empty: it applies nothing.
		want string
	}{
		"another rendering":                                 {"1.28.3", same, same, "earlier"},
		"a release that is not known":                       {membertest.Dropped, same, same, "earlier"},
		"replaced in place":                                 {membertest.Dropped, inPlace, same, "earlier"},
		"another rendering, other replicas":                 {"1.28.3", same, moreReplicas, "earlier"},
		"a release that is not known, other replicas":       {membertest.Dropped, same, moreReplicas, "earlier"},
		"another rendering, other settings":                 {"1.28.3", same, otherNetwork, "later"},
		"a release that is not known, other settings":       {membertest.Dropped, same, otherNetwork, ""},
		"other values of istiod that the gateway takes not": {membertest.Dropped, same, func(m *meshv1alpha1.MeshMember) { m.Spec.MeshID = "other" }, "earlier"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
				m.Spec.Revisions = []meshv1alpha1.Revision{{Name: membertest.DroppedRevision, Version: c.version}}
				m.Spec.DefaultRevision, m.Spec.GatewayRevision = membertest.DroppedRevision, membertest.DroppedRevision
				m.Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: membertest.DroppedRevision, ReadyReplicas: 1}}
			}, c.options)
			remote := newRemote()
			a := &Steps{Charts: membertest.EarlierCharts{Renderer: library(t)}}
			if note, got := a.apply(t.Context(), membertest.Over(t, m, remote), false); got.Kind != phase.Done || note != "" {
				t.Fatalf("result is %+v, note %q", got, note)
			}
			c.change(m)
			b, pass := &Steps{Charts: library(t)}, membertest.Over(t, m, remote)
			objects, err := b.objects(t.Context(), pass, &m.Spec, true)
			if c.want == "" {
				note, got := b.apply(t.Context(), pass, true)
				if !errors.Is(err, rendering.ErrInPlace) || got.Kind != phase.Done || note == "" {
					t.Errorf("error %v, result %+v, note %q: want it to stay, with a note", err, got, note)
				}
				present, err := b.rendered(t.Context(), pass, &m.Spec)
				if err != nil || len(present[0].Objects) == 0 {
					t.Errorf("the preflight sees %v (%v)", present, err)
				}
				return
			}
			testutil.Must(t, err)
			by, network, least := seen(t, objects)
			if want := int64(LeastGateways(&m.Spec)); least != want {
				t.Errorf("the autoscaler starts at %d replicas, want %d", least, want)
			}
			if isEarlier := by == "earlier"; isEarlier != (c.want == "earlier") || network != m.Spec.Network {
				t.Errorf("rendered by %q, want %s; announced for network %q", by, c.want, network)
			}
		})
	}
}

// TestAGatewayInPlaceGoesBack replaces a gateway in place by one of another release, and goes back to the former one, which the operator
// does not know.
func TestAGatewayInPlaceGoesBack(t *testing.T) {
	m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		inPlace := meshv1alpha1.RevisionGateway{Replacement: meshv1alpha1.GatewayReplacementInPlace}
		m.Spec.Revisions[0].Gateway = inPlace
		m.Spec.Revisions = append(m.Spec.Revisions, meshv1alpha1.Revision{Name: membertest.DroppedRevision, Version: membertest.Dropped, Gateway: inPlace})
		m.Spec.GatewayRevision = membertest.DroppedRevision
		m.Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: membertest.DroppedRevision, ReadyReplicas: 1}}
	})
	remote := newRemote()
	for _, step := range []struct {
		lib      charts.Renderer
		revision string
		want     string
	}{
		{membertest.EarlierCharts{Renderer: library(t)}, membertest.DroppedRevision, "earlier"},
		{library(t), testutil.Revision, ""},
		{library(t), membertest.DroppedRevision, "earlier"},
		{library(t), testutil.Revision, ""},
	} {
		m.Spec.GatewayRevision = step.revision
		s, pass := &Steps{Charts: step.lib}, membertest.Over(t, m, remote)
		objects, err := s.objects(t.Context(), pass, &m.Spec, true)
		testutil.Must(t, err)
		if by, _, _ := seen(t, objects); by != step.want {
			t.Errorf("the gateway of %s is rendered by %q, want %q", step.revision, by, step.want)
		}
		if _, got := s.apply(t.Context(), pass, true); got.Kind != phase.Done {
			t.Fatalf("result is %+v", got)
		}
	}
}

func newRemote() client.Client {
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithReturnManagedFields().WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}).Build()
}

// seen is who has rendered a gateway, the network for which it is announced, and the least number of its replicas.
func seen(t *testing.T, c apply.Component) (by, network string, least int64) {
	t.Helper()
	for _, o := range c.Objects {
		switch o.GetKind() {
		case "Deployment":
			by = o.GetAnnotations()[membertest.RenderedBy]
		case "Service":
			network = o.GetLabels()[charts.NetworkLabel]
		case "HorizontalPodAutoscaler":
			var err error
			least, _, err = unstructured.NestedInt64(o.Object, "spec", "minReplicas")
			testutil.Must(t, err)
		}
	}
	return by, network, least
}
