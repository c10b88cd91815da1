package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// withoutCRDs is the operator as it is.
type withoutCRDs struct{ charts.Renderer }

func (w withoutCRDs) Render(r charts.Request) ([]*unstructured.Unstructured, error) {
	objects, err := w.Renderer.Render(r)
	return slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool { return o.GetKind() == "CustomResourceDefinition" }), err
}

// played is a member whose writes are noted, those that change something.
type played struct {
	client.Client
	mu     sync.Mutex
	writes []string
}

func newPlayed(t *testing.T) *played {
	t.Helper()
	p := &played{}
	note := func(verb string, o client.Object) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.writes = append(p.writes, verb+" "+o.GetObjectKind().GroupVersionKind().Kind+" "+o.GetName())
	}
	store := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithReturnManagedFields().WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}).Build()
	p.Client = interceptor.NewClient(store, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			note("create", o)
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			note("update", o)
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			note("delete", o)
			return c.Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if slices.Contains((&client.PatchOptions{}).ApplyOptions(opts).DryRun, metav1.DryRunAll) {
				// The fake one would answer with what it was sent.
				return nil
			}
			before := content(ctx, c, o)
			err := c.Patch(ctx, o, patch, opts...)
			if !equality.Semantic.DeepEqual(before, content(ctx, c, o)) {
				note("patch", o)
			}
			return err
		},
	})
	return p
}

// content is an object as it is there, without what each write changes.
func content(ctx context.Context, c client.Client, o client.Object) map[string]any {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return nil
	}
	live.SetManagedFields(nil)
	live.SetResourceVersion("")
	return live.Object
}

// operator is one release of the operator, from its start on.
type operator struct {
	*Steps
	next func(time.Time) *member.Pass
}

func newOperator(t *testing.T, m *meshv1alpha1.MeshMember, remote client.Client, lib charts.Renderer) operator {
	t.Helper()
	return operator{
		Steps: &Steps{Charts: lib, Istiod: &membertest.Istiod{}, WatchIstio: func(context.Context, *member.Pass) error { return nil }},
		next:  membertest.Passes(t, m, remote),
	}
}

// pass runs what an operator does with the control planes of a member, as far as nobody has to serve for it.
func (o operator) pass(t *testing.T) {
	t.Helper()
	p := o.next(testutil.Now)
	for _, run := range []func(context.Context, *member.Pass) phase.Result{o.foundation, o.install} {
		if got := run(t.Context(), p); got.Kind != phase.Done {
			t.Fatalf("result is %+v, want it done", got)
		}
	}
	if got := o.pointTags(t.Context(), p); got.Kind != phase.Done && got.Reason != meshv1alpha1.ReasonWaitingForIstiod {
		t.Fatalf("tags: result is %+v", got)
	}
	if got := o.retire(t.Context(), p); got.Kind != phase.Done {
		t.Fatalf("retire: result is %+v", got)
	}
}

// serving makes a member serve with a revision of a release.
func serving(version, revision string) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions = []meshv1alpha1.Revision{{Name: revision, Version: version}}
		m.Spec.DefaultRevision, m.Spec.ReaderVersion = revision, version
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: revision}}
		m.Spec.ReaderTokens = meshv1alpha1.ReaderTokensFile
		m.Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: revision, Version: version, ReadyReplicas: 1}}
	}
}

// TestAnOperatorThatRendersDifferentlyWritesNothing lets one operator release install a revision and another one take over: one that
// renders the release differently, and one that does not know it.
func TestAnOperatorThatRendersDifferentlyWritesNothing(t *testing.T) {
	for name, revision := range map[string]struct{ version, name string }{
		"another rendering": {"1.28.3", "1-28-3"}, "a release that is not known": {membertest.Dropped, membertest.DroppedRevision},
	} {
		t.Run(name, func(t *testing.T) {
			m, remote := testutil.Member("east", serving(revision.version, revision.name)), newPlayed(t)
			newOperator(t, m, remote, membertest.EarlierCharts{Renderer: library(t)}).pass(t)
			if len(remote.writes) == 0 {
				t.Fatal("nothing was installed")
			}
			remote.writes = nil
			next := newOperator(t, m, remote, withoutCRDs{library(t)})
			next.pass(t)
			if len(remote.writes) > 0 {
				t.Errorf("the next operator writes %v", remote.writes)
			}
			note := next.unknownNote(next.next(testutil.Now))
			if isTold := strings.Contains(note, "has no charts of Istio "+membertest.Dropped) && strings.Contains(note, "set spec.version to one of"); isTold != (revision.version == membertest.Dropped) {
				t.Errorf("the note is %q", note)
			}
			role := &rbacv1.ClusterRole{}
			key := client.ObjectKey{Name: "istiod-clusterrole-" + revision.name + "-" + testutil.ControlPlane}
			testutil.Must(t, remote.Get(t.Context(), key, role))
			rules := role.Rules
			role.Rules = nil
			testutil.Must(t, remote.Update(t.Context(), role))
			next.pass(t)
			testutil.Must(t, remote.Get(t.Context(), key, role))
			if len(role.Rules) != len(rules) {
				t.Errorf("drift is not repaired: %d rules, want %d", len(role.Rules), len(rules))
			}
			d := &appsv1.Deployment{}
			testutil.Must(t, remote.Get(t.Context(), client.ObjectKey{Namespace: testutil.ControlPlane, Name: RevisionPrefix + revision.name}, d))
			if d.Annotations[membertest.RenderedBy] != "earlier" {
				t.Errorf("istiod is rendered anew: annotations %v", d.Annotations)
			}
		})
	}
}

// TestARestartReachesAnIstiodThatCannotBeRendered wants orders that are no part of the rendering to be carried out.
func TestARestartReachesAnIstiodThatCannotBeRendered(t *testing.T) {
	m, remote := testutil.Member("east", serving(membertest.Dropped, membertest.DroppedRevision)), newPlayed(t)
	newOperator(t, m, remote, membertest.EarlierCharts{Renderer: library(t)}).pass(t)
	m.Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(testutil.Now), Attempt: 1}
	newOperator(t, m, remote, withoutCRDs{library(t)}).pass(t)
	d := &appsv1.Deployment{}
	testutil.Must(t, remote.Get(t.Context(), client.ObjectKey{Namespace: testutil.ControlPlane, Name: RevisionPrefix + membertest.DroppedRevision}, d))
	if d.Spec.Template.Annotations["mesh.meshfleet.io/restarted-at"] == "" || d.Annotations[membertest.RenderedBy] != "earlier" {
		t.Errorf("annotations of the pods: %v, of the Deployment: %v", d.Spec.Template.Annotations, d.Annotations)
	}
}

// pointed is the revision that a tag's webhook names.
func pointed(t *testing.T, c client.Client, tag string) string {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("admissionregistration.k8s.io/v1")
	o.SetKind("MutatingWebhookConfiguration")
	testutil.Must(t, c.Get(t.Context(), client.ObjectKey{Name: "istio-revision-tag-" + tag}, o))
	return o.GetLabels()["istio.io/rev"]
}

// TestUpgradeAwayFromAReleaseThatIsNotKnown upgrades, goes back, upgrades again, and retires, all by an operator that does not know the
// former release: with its rendering in the member, and without.
func TestUpgradeAwayFromAReleaseThatIsNotKnown(t *testing.T) {
	from := meshv1alpha1.Revision{Name: membertest.DroppedRevision, Version: membertest.Dropped}
	to := meshv1alpha1.Revision{Name: testutil.Revision, Version: testutil.Version}
	for _, isKept := range []bool{true, false} {
		t.Run(fmt.Sprintf("rendering kept: %v", isKept), func(t *testing.T) {
			m, remote := testutil.Member("east", serving(membertest.Dropped, membertest.DroppedRevision)), newPlayed(t)
			newOperator(t, m, remote, membertest.EarlierCharts{Renderer: library(t)}).pass(t)
			if !isKept {
				cm := &corev1.ConfigMap{}
				testutil.Must(t, remote.Get(t.Context(), client.ObjectKey{Namespace: testutil.ControlPlane, Name: "meshfleet-inventory-istiod-" + membertest.DroppedRevision}, cm))
				cm.BinaryData = nil
				delete(cm.Data, "inputs-0")
				testutil.Must(t, remote.Update(t.Context(), cm))
			}
			next := newOperator(t, m, remote, withoutCRDs{library(t)})
			before, err := next.rendered(t.Context(), next.next(testutil.Now), &m.Spec)
			testutil.Must(t, err)
			if c := before[len(before)-1]; c.Name != RevisionPrefix+membertest.DroppedRevision || len(c.Objects) < 10 {
				t.Errorf("the preflight sees %d objects of %s", len(c.Objects), c.Name)
			}
			remote.writes = nil
			order := func(stage meshv1alpha1.Stage, running string, revisions ...meshv1alpha1.Revision) {
				m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "u", From: from, To: to, Stage: stage}
				m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: "u", Stage: stage}
				m.Spec.Revisions, m.Spec.DefaultRevision, m.Spec.ReaderVersion = revisions, running, testutil.Version
				m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: running}}
				next.pass(t)
				for _, tag := range []string{DefaultTag, "prod"} {
					if got := pointed(t, remote, tag); got != running {
						t.Errorf("%s: tag %s is at %s, want %s", stage, tag, got, running)
					}
				}
			}
			order(meshv1alpha1.StageInstall, from.Name, from, to)
			order(meshv1alpha1.StageWorkloads, to.Name, from, to)
			order(meshv1alpha1.StageRollback, from.Name, from, to)
			order(meshv1alpha1.StageDiscard, from.Name, from)
			order(meshv1alpha1.StageInstall, from.Name, from, to)
			order(meshv1alpha1.StageWorkloads, to.Name, from, to)
			istiod := "patch Deployment istiod-" + membertest.DroppedRevision
			if slices.Contains(remote.writes, istiod) {
				t.Errorf("the former istiod was written: %v", remote.writes)
			}
			order(meshv1alpha1.StageRetire, to.Name, to)
			err = remote.Get(t.Context(), client.ObjectKey{Namespace: testutil.ControlPlane, Name: RevisionPrefix + membertest.DroppedRevision}, &appsv1.Deployment{})
			if client.IgnoreNotFound(err) != nil || err == nil {
				t.Errorf("the former istiod is not retired: %v", err)
			}
		})
	}
}

// TestAReleaseThatIsNotKnownCannotBeInstalled names the cure when nothing is there that could be kept.
func TestAReleaseThatIsNotKnownCannotBeInstalled(t *testing.T) {
	m, remote := testutil.Member("east", serving(membertest.Dropped, membertest.DroppedRevision)), newPlayed(t)
	s := &Steps{Charts: withoutCRDs{library(t)}}
	if got := s.install(t.Context(), membertest.Over(t, m, remote)); got.Reason != meshv1alpha1.ReasonVersionUnsupported || len(remote.writes) > 0 {
		t.Errorf("result is %+v, want VersionUnsupported; written: %v", got, remote.writes)
	}
	// A target of an upgrade that is not in use yet holds nothing up.
	m.Spec.Revisions = []meshv1alpha1.Revision{{Name: testutil.Revision, Version: testutil.Version}, {Name: membertest.DroppedRevision, Version: membertest.Dropped}}
	m.Spec.DefaultRevision, m.Spec.GatewayRevision, m.Spec.Tags = testutil.Revision, testutil.Revision, nil
	if got := s.install(t.Context(), membertest.Over(t, m, remote)); got.Kind != phase.Done {
		t.Errorf("result is %+v, want it done", got)
	}
}
