package workloads

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// ready makes the pod of meshed serve.
func ready(objects []client.Object) []client.Object {
	for _, o := range objects {
		if p, ok := o.(*corev1.Pod); ok {
			p.UID = "one"
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
	}
	return objects
}

// evictions is a client that counts evictions and answers them.
func evictions(count *int, answer error, objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithObjects(ready(objects)...).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceCreate: func(ctx context.Context, c client.Client, name string, o, sub client.Object, opts ...client.SubResourceCreateOption) error {
			*count++
			if e, ok := sub.(*policyv1.Eviction); !ok || *e.DeleteOptions.Preconditions.UID != "one" {
				return errors.New("not an eviction of the pod that was read")
			}
			if answer != nil {
				return answer
			}
			return c.SubResource(name).Create(ctx, o, sub, opts...)
		},
	}).Build()
}

func TestMoveByEviction(t *testing.T) {
	count := 0
	c := evictions(&count, nil, meshed(former)...)
	report, err := Move(context.Background(), c, member.NewWorld(c, istioSystem), request(evicting))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Restarting) != 1 || count != 1 {
		t.Errorf("report %+v after %d evictions, want one workload and one eviction", report, count)
	}
	pods := &corev1.PodList{}
	if err := c.List(context.Background(), pods); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 0 {
		t.Errorf("pods %v are left", pods.Items)
	}
	d := &appsv1.Deployment{}
	if err := c.Get(context.Background(), client.ObjectKey{Namespace: "demo", Name: "echo"}, d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"theirs": "stays"}, d.Spec.Template.Annotations); diff != "" {
		t.Errorf("annotations of the template (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{forAnnotation: target, atAnnotation: "2026-05-04T12:00:00Z"}, d.Annotations); diff != "" {
		t.Errorf("annotations of the Deployment (-want +got):\n%s", diff)
	}
}

// TestMoveEvictsPodsOfUnknownKinds writes nothing to an owner that the operator does not know.
func TestMoveEvictsPodsOfUnknownKinds(t *testing.T) {
	labels := map[string]string{"app": "blue"}
	blue := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "blue-1", Labels: labels, OwnerReferences: []metav1.OwnerReference{controller("argoproj.io/v1alpha1", "Rollout", "blue")},
		Annotations: map[string]string{istio.InjectedAnnotation: "{}", istio.RevisionLabel: former, methodAnnotation: "Evict"},
	}}
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "blue"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
		Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1},
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo", Labels: map[string]string{"istio-injection": "enabled"}}}
	count := 0
	c := evictions(&count, nil, blue, budget, space)
	report, err := Move(context.Background(), c, member.NewWorld(c, istioSystem), request())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Rollout.argoproj.io demo/blue"}; !cmp.Equal(report.Restarting, want) || count != 1 {
		t.Errorf("report %+v after %d evictions, want %v and one", report, count, want)
	}
}

func TestMoveReportsWhatABudgetProtects(t *testing.T) {
	count := 0
	full := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	c := evictions(&count, full, meshed(former)...)
	report, err := Move(context.Background(), c, member.NewWorld(c, istioSystem), request(evicting))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Deployment demo/echo: a PodDisruptionBudget forbids the eviction: pod echo-1-x: " + full.Error()}
	if diff := cmp.Diff(want, report.Blocked); diff != "" {
		t.Errorf("blocked (-want +got):\n%s", diff)
	}
	if len(report.Restarting) != 0 || report.Done {
		t.Errorf("report %+v, want nothing restarting and nothing done", report)
	}
}

func TestEvictErrors(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	unreachable := errors.New("unreachable")
	tests := map[string]struct {
		answer, want error
	}{
		"a pod that is gone is what was wanted":    {answer: apierrors.NewNotFound(pods, "echo-1-x")},
		"another pod of that name is not evicted":  {answer: apierrors.NewConflict(pods, "echo-1-x", errors.New("other UID"))},
		"every other error is passed on":           {answer: unreachable, want: unreachable},
		"a budget that forbids it is told as such": {answer: apierrors.NewTooManyRequests("full", 0), want: errProtected},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			count := 0
			c := evictions(&count, tt.answer, meshed(former)...)
			if err := Evict(context.Background(), c, observed(t, c), now); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if count != 1 {
				t.Errorf("%d evictions, want 1", count)
			}
		})
	}
}

// observed is the Deployment demo/echo, whose only pod is to be evicted.
func observed(t *testing.T, c client.Client) Workload {
	t.Helper()
	world, err := Observe(context.Background(), member.NewWorld(c, istioSystem), request(evicting))
	if err != nil {
		t.Fatal(err)
	}
	_, batch := Plan(world, request(evicting))
	if len(batch) != 1 || len(batch[0].Evict) != 1 {
		t.Fatalf("to be done: %v, want one eviction", batch)
	}
	return batch[0]
}

// TestEvictOnAnOldReading acts twice on the same reading, as an operator does that comes back from a pause.
func TestEvictOnAnOldReading(t *testing.T) {
	count := 0
	c := evictions(&count, apierrors.NewTooManyRequests("full", 0), meshed(former)...)
	w := observed(t, c)
	if err := Evict(context.Background(), c, w, now); !errors.Is(err, errProtected) {
		t.Fatalf("error %v, want it protected", err)
	}
	if err := Evict(context.Background(), c, w, now.Add(time.Hour)); err != nil || count != 1 {
		t.Errorf("error %v after %d evictions, want none and 1", err, count)
	}
	w = observed(t, c)
	if w.EvictedAt != "2026-05-04T12:00:00Z" {
		t.Errorf("noted %q, want the time of the first eviction", w.EvictedAt)
	}
}

func TestEvictWhatIsGone(t *testing.T) {
	count := 0
	c := evictions(&count, nil, meshed(former)...)
	w := observed(t, c)
	if err := c.Delete(context.Background(), &appsv1.Deployment{ObjectMeta: objectMeta(w.Reference)}); err != nil {
		t.Fatal(err)
	}
	if err := Evict(context.Background(), c, w, now); err != nil || count != 0 {
		t.Errorf("error %v after %d evictions, want none", err, count)
	}
}

func objectMeta(r Reference) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name}
}
