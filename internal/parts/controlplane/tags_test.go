package controlplane

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestTagServiceRevision leaves the Services of tags at a revision that workloads leave, but never brings them to one.
func TestTagServiceRevision(t *testing.T) {
	const from, to = "1-28-3", "1-29-1"
	labels := func(tag, revision string) map[string]string {
		return map[string]string{meshv1alpha1.LabelInstallation: "meshfleet-system.shop", "istio.io/tag": tag, "istio.io/rev": revision}
	}
	webhook := func(revision string) client.Object {
		return &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "tag", Labels: labels("prod", revision)}}
	}
	service := func(revision string) client.Object {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "tag", Labels: labels("prod", revision)}}
	}
	foreign := service(to)
	foreign.SetLabels(map[string]string{"istio.io/tag": "theirs", "istio.io/rev": to})
	tests := map[string]struct {
		stage   meshv1alpha1.Stage
		objects []client.Object
		want    string
	}{
		"the tags are about to move":                  {meshv1alpha1.StageWorkloads, []client.Object{webhook(from), service(from)}, from},
		"the webhook has moved":                       {meshv1alpha1.StageWorkloads, []client.Object{webhook(to), service(from)}, from},
		"a Service that has moved stays there":        {meshv1alpha1.StageWorkloads, []client.Object{webhook(to), service(to)}, ""},
		"workloads have left":                         {meshv1alpha1.StageSoak, []client.Object{webhook(to), service(from)}, ""},
		"tags that have moved are about to move back": {meshv1alpha1.StageRollback, []client.Object{webhook(to), service(from)}, to},
		"the webhook has moved back":                  {meshv1alpha1.StageRollback, []client.Object{webhook(from), service(to)}, to},
		"tags that have never moved":                  {meshv1alpha1.StageRollback, []client.Object{webhook(from), service(from)}, ""},
		"tags of somebody else":                       {meshv1alpha1.StageRollback, []client.Object{webhook(from), foreign}, ""},
		"before the tags move":                        {meshv1alpha1.StageGateways, []client.Object{webhook(from), service(from)}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pass := membertest.Pass(t, testutil.Member("east"), tt.objects...)
			pass.Object.Spec.Rollout = &meshv1alpha1.MemberRollout{From: meshv1alpha1.Revision{Name: from}, To: meshv1alpha1.Revision{Name: to}, Stage: tt.stage}
			pass.Object.Spec.Revisions = []meshv1alpha1.Revision{{Name: from, Version: "1.28.3"}, {Name: to, Version: "1.29.1"}}
			got, err := tagServiceRevision(t.Context(), pass)
			if err != nil || got != tt.want {
				t.Errorf("revision of the Services %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// write makes a pass write something of a component.
func write(t *testing.T, pass *member.Pass, component string) {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	o.SetNamespace(testutil.ControlPlane)
	o.SetName("of-" + component)
	testutil.Must(t, pass.Apply(t.Context(), apply.Component{Name: component, Objects: []*unstructured.Unstructured{o}}))
}

// TestTagsWaitForPermissions lets API servers learn what the former istiod may not write any more before the tags move.
func TestTagsWaitForPermissions(t *testing.T) {
	tests := map[string]struct {
		keeper, wroteBefore, wrote string
		since                      time.Duration
		want                       bool
	}{
		"nobody keeps Gateways":                   {keeper: "", wrote: "istiod-1-28-3"},
		"the keeper was written":                  {keeper: "1-28-3", wrote: "istiod-1-28-3", since: time.Second, want: true},
		"only the other revision was written":     {keeper: "1-28-3", wrote: "istiod-1-29-1"},
		"the keeper was written in a former pass": {keeper: "1-28-3", wroteBefore: "istiod-1-28-3", since: time.Second},
		"the keeper is written again and again":   {keeper: "1-28-3", wrote: "istiod-1-28-3", since: permissionsSettle},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}
			next := membertest.Passes(t, testutil.Member("east"), fake.NewClientBuilder().WithObjects(namespace).Build())
			if tt.wroteBefore != "" {
				write(t, next(testutil.Now.Add(-time.Second)), tt.wroteBefore)
			}
			pass := next(testutil.Now)
			pass.Object.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Since: metav1.NewTime(pass.Now.Add(-tt.since))}
			if tt.wrote != "" {
				write(t, pass, tt.wrote)
			}
			if got := isTooEarly(pass, tt.keeper); got != tt.want {
				t.Errorf("too early: %v, want %v", got, tt.want)
			}
		})
	}
}

// stable is a member whose work order has the tag stable.
func stable() *meshv1alpha1.MeshMember {
	return testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "stable", Revision: m.Spec.DefaultRevision}}
	})
}

// tagged is a pass over such a member that has had the tags given.
func tagged(t *testing.T, applied []string, objects ...client.Object) (*Steps, *member.Pass) {
	t.Helper()
	s, pass := &Steps{}, membertest.Pass(t, stable(), objects...)
	s.memory.Of(pass).tags.applied = applied
	return s, pass
}

func TestKeepTags(t *testing.T) {
	revision := stable().Spec.DefaultRevision
	tests := map[string]struct {
		applied  []string
		objects  []client.Object
		wantKept []string
		wantTags []meshv1alpha1.Tag
	}{
		"all are wanted": {applied: []string{"default", "stable"}, objects: []client.Object{membertest.NamespaceOf("demo", "prod")},
			wantTags: []meshv1alpha1.Tag{{Name: "stable", Revision: revision}}},
		"one that nothing names goes": {applied: []string{"default", "prod", "stable"}, objects: []client.Object{membertest.NamespaceOf("demo", "stable")},
			wantTags: []meshv1alpha1.Tag{{Name: "stable", Revision: revision}}},
		"one that a namespace names stays": {applied: []string{"default", "prod", "stable"}, objects: []client.Object{membertest.NamespaceOf("demo", "prod")},
			wantKept: []string{"prod"}, wantTags: []meshv1alpha1.Tag{{Name: "stable", Revision: revision}, {Name: "prod", Revision: revision}}},
		"of two renamings both stay": {applied: []string{"default", "prod", "beta"}, objects: []client.Object{membertest.NamespaceOf("demo", "prod"), membertest.NamespaceOf("shop", "beta")},
			wantKept: []string{"prod", "beta"}, wantTags: []meshv1alpha1.Tag{
				{Name: "stable", Revision: revision}, {Name: "prod", Revision: revision}, {Name: "beta", Revision: revision}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, pass := tagged(t, tt.applied, tt.objects...)
			if err := s.keepTags(t.Context(), pass); err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, tag := range pass.Object.Status.KeptTags {
				kept = append(kept, tag.Name)
			}
			if diff := cmp.Diff(tt.wantKept, kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantTags, mesh.WithKeptTags(pass.Object).Tags); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			if len(pass.Aside) != 1 || !pass.Aside[0].Aside || (pass.Aside[0].Result.Kind == phase.Done) != (len(kept) == 0) {
				t.Errorf("outcome %+v, want one that Ready does not depend on", pass.Aside)
			}
		})
	}
}

func TestKeepTagsNamesTheHolders(t *testing.T) {
	s, pass := tagged(t, []string{"default", "prod", "stable"}, membertest.NamespaceOf("demo", "prod"))
	if err := s.keepTags(t.Context(), pass); err != nil {
		t.Fatal(err)
	}
	want := `relabel what names a tag with one of the spec and restart its pods, or put the tag back: tag "prod" is not in spec.dataPlane.tags ` +
		`and stays, at revision 1-29-1: named by the label istio.io/rev of Namespace demo`
	if diff := cmp.Diff(want, pass.Aside[0].Result.Text()); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// TestKeepTagsReads reads nothing while all tags are wanted, at a pace while one is kept, and anew before one goes.
func TestKeepTagsReads(t *testing.T) {
	reads := 0
	var refuse error
	c := fake.NewClientBuilder().WithObjects(membertest.NamespaceOf("demo", "prod")).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			reads++
			if _, isDeployments := list.(*appsv1.DeploymentList); isDeployments && refuse != nil {
				return refuse
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
	s, next := &Steps{}, membertest.Passes(t, stable(), c)
	apply := func(tags ...string) { s.memory.Of(next(testutil.Now)).tags.applied = tags }
	look := func(at time.Time) (kept int) {
		t.Helper()
		pass := next(at)
		if err := s.keepTags(t.Context(), pass); err != nil {
			t.Fatal(err)
		}
		return len(pass.Object.Status.KeptTags)
	}
	apply("default", "stable")
	if look(testutil.Now); reads > 0 {
		t.Errorf("%d lists while all tags are wanted, want none", reads)
	}
	apply("default", "prod", "stable")
	if kept := look(testutil.Now); kept != 1 || reads == 0 {
		t.Fatalf("%d tags kept after %d lists, want one", kept, reads)
	}
	first := reads
	if kept := look(testutil.Now.Add(time.Second)); kept != 1 || reads != first {
		t.Errorf("%d tags kept after %d more lists, want one as it was found a second ago", kept, reads-first)
	}
	if err := c.Delete(t.Context(), membertest.NamespaceOf("demo", "prod")); err != nil {
		t.Fatal(err)
	}
	refuse = errors.New("no route")
	if kept := look(testutil.Now.Add(time.Minute)); kept != 1 {
		t.Errorf("%d tags kept, want one that is not known to be unused", kept)
	}
	refuse = nil
	if kept := look(testutil.Now.Add(2 * time.Minute)); kept != 0 {
		t.Errorf("%d tags kept, want none", kept)
	}
}
