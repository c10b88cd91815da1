package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// namespaceOf is a namespace that names a tag or a revision.
func namespaceOf(name, tag string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"istio.io/rev": tag}}}
}

// taggedPass is a pass over a member whose work order has the tag stable and which has had the tags given.
func taggedPass(applied []string, objects ...client.Object) *scope {
	s := pass(objects...)
	s.member.Spec.Tags = []meshv1alpha1.Tag{{Name: "stable", Revision: s.member.Spec.DefaultRevision}}
	s.state = &memberState{tags: tagMemory{applied: applied}}
	return s
}

func TestKeepTags(t *testing.T) {
	revision := pass().member.Spec.DefaultRevision
	tests := map[string]struct {
		applied  []string
		objects  []client.Object
		wantKept []string
		wantTags []meshv1alpha1.Tag
	}{
		"all are wanted": {applied: []string{"default", "stable"}, objects: []client.Object{namespaceOf("demo", "prod")},
			wantTags: []meshv1alpha1.Tag{{Name: "stable", Revision: revision}}},
		"one that nothing names goes": {applied: []string{"default", "prod", "stable"}, objects: []client.Object{namespaceOf("demo", "stable")},
			wantTags: []meshv1alpha1.Tag{{Name: "stable", Revision: revision}}},
		"one that a namespace names stays": {applied: []string{"default", "prod", "stable"}, objects: []client.Object{namespaceOf("demo", "prod")},
			wantKept: []string{"prod"}, wantTags: []meshv1alpha1.Tag{{Name: "stable", Revision: revision}, {Name: "prod", Revision: revision}}},
		"of two renamings both stay": {applied: []string{"default", "prod", "beta"}, objects: []client.Object{namespaceOf("demo", "prod"), namespaceOf("shop", "beta")},
			wantKept: []string{"prod", "beta"}, wantTags: []meshv1alpha1.Tag{
				{Name: "stable", Revision: revision}, {Name: "prod", Revision: revision}, {Name: "beta", Revision: revision}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := taggedPass(tt.applied, tt.objects...)
			if err := (&Reconciler{}).keepTags(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			var kept []string
			for _, tag := range s.member.Status.KeptTags {
				kept = append(kept, tag.Name)
			}
			if diff := cmp.Diff(tt.wantKept, kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantTags, s.withKeptTags().Tags); diff != "" {
				t.Errorf("tags (-want +got):\n%s", diff)
			}
			if len(s.aside) != 1 || !s.aside[0].Aside || (s.aside[0].Result.Kind == phase.Done) != (len(kept) == 0) {
				t.Errorf("outcome %+v, want one that Ready does not depend on", s.aside)
			}
		})
	}
}

func TestKeepTagsNamesTheHolders(t *testing.T) {
	s := taggedPass([]string{"default", "prod", "stable"}, namespaceOf("demo", "prod"))
	if err := (&Reconciler{}).keepTags(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := `relabel what names a tag with one of the spec and restart its pods, or put the tag back: tag "prod" is not in spec.dataPlane.tags ` +
		`and stays, at revision 1-29-1: it is named by the label istio.io/rev of Namespace demo`
	if diff := cmp.Diff(want, s.aside[0].Result.Text()); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// TestKeepTagsReads reads nothing while all tags are wanted, at a pace while one is kept, and anew before one goes.
func TestKeepTagsReads(t *testing.T) {
	reads := 0
	var refuse error
	c := fake.NewClientBuilder().WithObjects(namespaceOf("demo", "prod")).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			reads++
			if _, isDeployments := list.(*appsv1.DeploymentList); isDeployments && refuse != nil {
				return refuse
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
	state := &memberState{tags: tagMemory{applied: []string{"default", "stable"}}}
	look := func(at time.Time) (kept int) {
		t.Helper()
		s := taggedPass(nil)
		s.remote, s.state, s.now = c, state, at
		if err := (&Reconciler{}).keepTags(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return len(s.member.Status.KeptTags)
	}
	if look(testutil.Now); reads > 0 {
		t.Errorf("%d lists while all tags are wanted, want none", reads)
	}
	state.tags.applied = []string{"default", "prod", "stable"}
	if kept := look(testutil.Now); kept != 1 || reads == 0 {
		t.Fatalf("%d tags kept after %d lists, want one", kept, reads)
	}
	first := reads
	if kept := look(testutil.Now.Add(time.Second)); kept != 1 || reads != first {
		t.Errorf("%d tags kept after %d more lists, want one as it was found a second ago", kept, reads-first)
	}
	if err := c.Delete(t.Context(), namespaceOf("demo", "prod")); err != nil {
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

// TestUsersOfARevisionThatIsNamed keeps a revision that nothing runs and something names.
func TestUsersOfARevisionThatIsNamed(t *testing.T) {
	s := pass(namespaceOf("batch", "1-28-3"), namespaceOf("demo", "prod"))
	s.state = &memberState{connection: &fleet.Member{}}
	r := &Reconciler{Client: testutil.HubClient(t), Istiod: &playedIstiod{proxies: []istiod.Proxy{}}}
	got, err := r.usersOf(t.Context(), s, "1-28-3")
	if err != nil {
		t.Fatal(err)
	}
	want := users{staying: []string{"Namespace batch by its label istio.io/rev"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(users{})); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}
