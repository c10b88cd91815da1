package member

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// refusing is a member at a stage whose API server refuses what is applied.
type refusing struct {
	*stages
	next func(now time.Time) *member.Pass
	// answer is that of the API server. Nil: it takes everything.
	answer error
}

func newRefusing(t *testing.T, stage meshv1alpha1.Stage) *refusing {
	t.Helper()
	m := testutil.Member("east")
	m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "u", From: meshv1alpha1.Revision{Name: "a"}, To: meshv1alpha1.Revision{Name: "b"}, Stage: stage}
	m.Spec.GatewayRevision = "b"
	m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: "u", Stage: stage, State: meshv1alpha1.StageProgressing}
	r := &refusing{stages: newStages()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}
	r.next = membertest.Passes(t, m, fake.NewClientBuilder().WithObjects(namespace).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if o.GetObjectKind().GroupVersionKind().Kind == "Deployment" && r.answer != nil {
				return r.answer
			}
			return c.Patch(ctx, o, patch, opts...)
		},
	}).Build())
	return r
}

// apply is a pass that applies a Deployment of a component, which is another one in each pass.
func (r *refusing) apply(t *testing.T, now time.Time, component string) *member.Pass {
	t.Helper()
	pass := r.next(now)
	pass.Target = r.parts.Target(&pass.Object.Spec)
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	o.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	o.SetNamespace(testutil.ControlPlane)
	o.SetName("x")
	o.SetAnnotations(map[string]string{"at": now.Format(time.RFC3339)})
	err := pass.Apply(t.Context(), apply.Component{Name: component, Objects: []*unstructured.Unstructured{o}})
	if (err != nil) != (r.answer != nil) {
		t.Fatalf("applying gives %v, want what the API server answers: %v", err, r.answer)
	}
	return pass
}

// answerOf is what an API server answers when it refuses an object.
func answerOf(kind apply.RefusalKind) error {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	switch kind {
	case apply.RefusedInvalid:
		return apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "x", nil)
	case apply.RefusedByPolicy:
		return apierrors.NewForbidden(deployments, "x", errors.New(`admission webhook "v.example" denied the request: no`))
	case apply.RefusedByQuota:
		return apierrors.NewForbidden(deployments, "x", errors.New("exceeded quota: q"))
	case apply.RefusedPermission:
		return apierrors.NewForbidden(deployments, "x", errors.New(`User "u" cannot patch resource "deployments" in API group "apps"`))
	}
	return nil
}

func refusalOf(component string, kind apply.RefusalKind) error {
	return fmt.Errorf("joined: %w", &apply.Refusal{Component: component, Object: apply.Reference{Kind: "Deployment", Name: "x"}, Kind: kind, Err: errors.New("no")})
}

func TestInterruptedStage(t *testing.T) {
	const failed, progressing = meshv1alpha1.StageFailed, meshv1alpha1.StageProgressing
	invalid, policy := answerOf(apply.RefusedInvalid), answerOf(apply.RefusedByPolicy)
	quota, permission := answerOf(apply.RefusedByQuota), answerOf(apply.RefusedPermission)
	cases := map[string]struct {
		stage     meshv1alpha1.Stage
		component string
		answer    error
		lasted    time.Duration
		wantState meshv1alpha1.StageState
		wantWords string
	}{
		"an invalid object of the target fails at once":        {meshv1alpha1.StageInstall, "istiod-b", invalid, 0, failed, "the API server refused Deployment istio-system/x"},
		"so does one of its tags":                              {meshv1alpha1.StageWorkloads, "tags", invalid, 0, failed, "the API server refused"},
		"and one of its gateway":                               {meshv1alpha1.StageGateways, "eastwest-b", invalid, 0, failed, "the API server refused"},
		"a policy is given a moment":                           {meshv1alpha1.StageInstall, "istiod-b", policy, gate.FailAfter - time.Second, progressing, "the member is not well (install)"},
		"a policy that goes on refusing fails":                 {meshv1alpha1.StageInstall, "istiod-b", policy, gate.FailAfter, failed, "the API server refused"},
		"a quota likewise":                                     {meshv1alpha1.StageInstall, "istiod-b", quota, gate.FailAfter, failed, "the API server refused"},
		"a missing permission waits for the deadline":          {meshv1alpha1.StageInstall, "istiod-b", permission, time.Hour, progressing, "the member is not well (install)"},
		"what is refused of the former revision is no verdict": {meshv1alpha1.StageInstall, "istiod-a", invalid, time.Hour, progressing, "the member is not well (install)"},
		"a failure of a call is told":                          {meshv1alpha1.StageInstall, "istiod-b", errors.New("no route"), time.Hour, progressing, "the member is not well (install): no route"},
		"going back never fails, and is told":                  {meshv1alpha1.StageRollback, "istiod-b", invalid, time.Hour, progressing, "the member is not well (install)"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRefusing(t, c.stage)
			r.answer = c.answer
			var pass *member.Pass
			for _, after := range []time.Duration{0, c.lasted} {
				pass = r.apply(t, testutil.Now.Add(after), c.component)
				r.interrupted(pass, "install", phase.Stall("Reason", c.answer))
			}
			if st := pass.Object.Status.Rollout; st.State != c.wantState || !strings.HasPrefix(st.Message, c.wantWords) {
				t.Errorf("the stage is %s: %s", st.State, st.Message)
			}
		})
	}
}

// TestRefusalMustLast counts from when it began, without a break.
func TestRefusalMustLast(t *testing.T) {
	r := newRefusing(t, meshv1alpha1.StageInstall)
	for _, step := range []struct {
		after   time.Duration
		refused bool
		want    bool
	}{{0, true, false}, {10 * time.Second, true, false}, {12 * time.Second, false, false}, {20 * time.Second, true, false}, {35 * time.Second, true, true}} {
		if r.answer = nil; step.refused {
			r.answer = answerOf(apply.RefusedByPolicy)
		}
		pass := r.apply(t, testutil.Now.Add(step.after), "istiod-b")
		if got, _ := r.refusal(pass); got != step.want {
			t.Errorf("after %s: failed %v, want %v", step.after, got, step.want)
		}
	}
}

func TestObjectsFinding(t *testing.T) {
	status := func(code int32, reason metav1.StatusReason) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason}}
	}
	broken := errors.New("no route")
	invalid, policy := refusalOf("istiod-b", apply.RefusedInvalid), refusalOf("istiod-b", apply.RefusedByPolicy)
	f := objectsFinding(20, errors.Join(errors.Join(invalid, policy), refusalOf("reader", apply.RefusedPermission),
		fmt.Errorf("apply x: %w", apply.ErrConflict), status(http.StatusInternalServerError, metav1.StatusReasonInternalError),
		fmt.Errorf("apply y: %w", &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Gateway"}})))
	if len(f.Failures) != 1 || len(f.Problems) != 2 || f.Err != nil || f.Note != "the API server takes 17 objects, and could not tell of 3" {
		t.Errorf("finding %+v", f)
	}
	if f := objectsFinding(20, nil); f.Note != "the API server takes 20 objects" || len(f.Failures)+len(f.Problems) > 0 {
		t.Errorf("nothing refused: %+v", f)
	}
	if f := objectsFinding(20, errors.Join(broken)); !errors.Is(f.Err, broken) {
		t.Errorf("no answer: %+v", f)
	}
}
