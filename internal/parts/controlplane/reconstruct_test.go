package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// running are the objects of a revision in a member, as the operator applies them.
func running(t *testing.T, spec *meshv1alpha1.MeshMemberSpec, rev meshv1alpha1.Revision) []client.Object {
	t.Helper()
	c, err := From(packaged).Revision(spec, &rev)
	testutil.Must(t, err)
	var out []client.Object
	for _, o := range c.Objects {
		if o.GetKind() != "Deployment" && o.GetKind() != "ConfigMap" {
			continue
		}
		o = o.DeepCopy()
		labels := o.GetLabels()
		labels[meshv1alpha1.LabelInstallation] = "meshfleet-system.shop"
		o.SetLabels(labels)
		out = append(out, o)
	}
	return out
}

// TestReconstruct finds out what a member runs without a record of it, and says why where that is not certain.
func TestReconstruct(t *testing.T) {
	older := meshv1alpha1.Revision{Name: "1-28-3", Version: "1.28.3"}
	newer := meshv1alpha1.Revision{Name: "1-29-1", Version: "1.29.1"}
	traced := older
	traced.Values = testutil.JSON(map[string]any{"pilot": map[string]any{"traceSampling": 5}})
	wants := func(rev meshv1alpha1.Revision, change ...testutil.MemberOption) *meshv1alpha1.MeshMember {
		m := testutil.Member("east", change...)
		m.Spec.Revisions, m.Spec.DefaultRevision, m.Spec.GatewayRevision = []meshv1alpha1.Revision{rev}, rev.Name, rev.Name
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: rev.Name}}
		m.Spec.ReaderTokens = meshv1alpha1.ReaderTokensFile
		return m
	}
	asOrdered := wants(older).Spec
	inline := asOrdered
	inline.ReaderTokens = meshv1alpha1.ReaderTokensInline
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	restarted := asOrdered
	restarted.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: at}
	order := func(rev meshv1alpha1.Revision, change ...func(*meshv1alpha1.OrderInForce)) *meshv1alpha1.OrderInForce {
		o := &meshv1alpha1.OrderInForce{
			Revisions: []meshv1alpha1.Revision{rev}, DefaultRevision: rev.Name, GatewayRevision: rev.Name,
			Tags: []meshv1alpha1.Tag{{Name: "prod", Revision: rev.Name}}, ReaderTokens: meshv1alpha1.ReaderTokensFile,
		}
		for _, f := range change {
			f(o)
		}
		return o
	}
	others := func(objects []client.Object) []client.Object {
		for _, o := range objects {
			o.SetLabels(map[string]string{"app": "istiod", meshv1alpha1.LabelInstallation: "meshfleet-system.other"})
		}
		return objects
	}
	without := func(kind string, objects []client.Object) (out []client.Object) {
		for _, o := range objects {
			if o.(*unstructured.Unstructured).GetKind() != kind {
				out = append(out, o)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		member   *meshv1alpha1.MeshMember
		objects  []client.Object
		want     *meshv1alpha1.OrderInForce
		obstacle string
	}{
		"an empty cluster":                     {member: wants(older)},
		"an istiod of another mesh":            {member: wants(older), objects: others(running(t, &asOrdered, older))},
		"what is ordered":                      {member: wants(older), objects: running(t, &asOrdered, older), want: order(older)},
		"another release with the same values": {member: wants(newer), objects: running(t, &asOrdered, older), want: order(older)},
		"the same values of a user":            {member: wants(traced), objects: running(t, &asOrdered, traced), want: order(traced)},
		"other values":                         {member: wants(older), objects: running(t, &asOrdered, traced), obstacle: "ConfigMap istio-system/values-1-28-3"},
		"the values are gone":                  {member: wants(older), objects: without("ConfigMap", running(t, &asOrdered, older)), obstacle: "other values"},
		"two revisions":                        {member: wants(older), objects: append(running(t, &asOrdered, older), running(t, &asOrdered, newer)...), obstacle: "2 revisions of this mesh: 1-28-3, 1-29-1"},
		"tokens in remote secrets":             {member: wants(older), objects: running(t, &inline, older), want: order(older, func(o *meshv1alpha1.OrderInForce) { o.ReaderTokens = meshv1alpha1.ReaderTokensInline })},
		"an istiod that was restarted": {member: wants(older), objects: running(t, &restarted, older), want: order(older, func(o *meshv1alpha1.OrderInForce) {
			o.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: at, Reason: restartReasonFound, Attempt: 1}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			pass := membertest.Pass(t, c.member, c.objects...)
			got, obstacle, err := (&Steps{Charts: packaged}).Reconstruct(t.Context(), pass)
			testutil.Must(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if !strings.Contains(obstacle, c.obstacle) || (c.obstacle == "") != (obstacle == "") {
				t.Errorf("obstacle %q, want %q", obstacle, c.obstacle)
			}
		})
	}
}
