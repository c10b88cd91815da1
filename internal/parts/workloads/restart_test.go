package workloads

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/member"
)

var echo = Reference{Kind: member.KindDeployment, Namespace: "demo", Name: "echo"}

// meshed is a healthy Deployment demo/echo whose one pod has a proxy of the former revision, as the API server has it.
func meshed(revision string) []client.Object {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "echo", Generation: 1}}
	d.Spec.Template.Annotations = map[string]string{"theirs": "stays"}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app"}}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "echo-1",
		OwnerReferences: []metav1.OwnerReference{controller("apps/v1", "Deployment", "echo")}}}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "echo-1-x",
		Annotations:     map[string]string{"istio.io/rev": revision, "sidecar.istio.io/status": "{}"},
		OwnerReferences: []metav1.OwnerReference{controller("apps/v1", "ReplicaSet", "echo-1")}}}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "demo", Labels: map[string]string{"istio-injection": "enabled"}}}
	return []client.Object{ns, d, rs, p}
}

// counting is a client that counts patches.
func counting(patches *int, objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			*patches++
			return c.Patch(ctx, o, p, opts...)
		},
	}).Build()
}

func templateOf(t *testing.T, c client.Client) map[string]string {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := c.Get(context.Background(), client.ObjectKey{Namespace: "demo", Name: "echo"}, d); err != nil {
		t.Fatal(err)
	}
	return d.Spec.Template.Annotations
}

func TestRestart(t *testing.T) {
	patches := 0
	c := counting(&patches, meshed(former)...)
	ctx := context.Background()
	w := Workload{Reference: echo, Target: target}
	for i := range 3 {
		// The same reading of the world, as after a restart of the operator.
		if err := Restart(ctx, c, w, now.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if patches != 1 {
		t.Errorf("%d patches, want 1", patches)
	}
	want := map[string]string{"theirs": "stays", forAnnotation: target, atAnnotation: "2026-05-04T12:00:00Z"}
	if diff := cmp.Diff(want, templateOf(t, c)); diff != "" {
		t.Errorf("annotations of the template (-want +got):\n%s", diff)
	}

	w = Workload{Reference: echo, Target: former, RestartedFor: target, RestartedAt: "2026-05-04T12:00:00Z"}
	if err := Restart(ctx, c, w, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	want = map[string]string{"theirs": "stays", forAnnotation: former, atAnnotation: "2026-05-04T13:00:00Z"}
	if diff := cmp.Diff(want, templateOf(t, c)); diff != "" {
		t.Errorf("annotations after the way back (-want +got):\n%s", diff)
	}
}

func TestRestartOfEachKind(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "demo", Name: "echo"}
	for kind, o := range map[string]client.Object{
		member.KindDeployment:  &appsv1.Deployment{ObjectMeta: meta},
		member.KindStatefulSet: &appsv1.StatefulSet{ObjectMeta: meta},
		member.KindDaemonSet:   &appsv1.DaemonSet{ObjectMeta: meta},
	} {
		t.Run(kind, func(t *testing.T) {
			c := fake.NewClientBuilder().WithObjects(o).Build()
			w := Workload{Reference: Reference{Kind: kind, Namespace: "demo", Name: "echo"}, Target: target}
			if err := Restart(context.Background(), c, w, now); err != nil {
				t.Fatal(err)
			}
			got, template := object(w.Reference)
			if err := c.Get(context.Background(), client.ObjectKeyFromObject(o), got); err != nil {
				t.Fatal(err)
			}
			if template.Annotations[forAnnotation] != target {
				t.Errorf("annotations %v, want %s", template.Annotations, target)
			}
		})
	}
}

// TestRestartLosesTheRace changes the Deployment between the read and the write.
func TestRestartLosesTheRace(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(meshed(former)...).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			d := &appsv1.Deployment{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(o), d); err != nil {
				return err
			}
			d.Spec.Paused = true
			if err := c.Update(ctx, d); err != nil {
				return err
			}
			return c.Patch(ctx, o, p, opts...)
		},
	}).Build()
	if err := Restart(context.Background(), c, Workload{Reference: echo, Target: target}, now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"theirs": "stays"}, templateOf(t, c)); diff != "" {
		t.Errorf("annotations of the template (-want +got):\n%s", diff)
	}
}

func TestRestartErrors(t *testing.T) {
	resource := schema.GroupResource{Group: "apps", Resource: "deployments"}
	unreachable := errors.New("unreachable")
	tests := map[string]struct {
		objects []client.Object
		patch   error
		want    error
	}{
		"does nothing for a workload that is gone": {},
		"leaves a conflict to the next pass":       {objects: meshed(former), patch: apierrors.NewConflict(resource, "echo", errors.New("changed"))},
		"passes every other error on":              {objects: meshed(former), patch: unreachable, want: unreachable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := failing(tt.patch, tt.objects...)
			err := Restart(context.Background(), c, Workload{Reference: echo, Target: target}, now)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func failing(err error, objects ...client.Object) client.Client {
	return fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return err
		},
	}).Build()
}

func TestMove(t *testing.T) {
	patches := 0
	c := counting(&patches, meshed(former)...)
	for _, restarting := range []string{
		"Deployment demo/echo",
		// The fake API server rolls nothing out.
		"Deployment demo/echo: rolled out, but has proxies of another revision still",
	} {
		report, err := Move(context.Background(), c, member.NewWorld(c, istioSystem), request())
		if err != nil {
			t.Fatal(err)
		}
		want := Report{Total: 1, Restarting: []string{restarting}, Fragile: []string{
			"Deployment demo/echo: no preStop delay, no readiness probe"}}
		if diff := cmp.Diff(want, report); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	}
	if patches != 1 {
		t.Errorf("%d patches in two passes, want 1", patches)
	}
}

func TestMoveReportsWhatTheMemberRefuses(t *testing.T) {
	refusal := apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "echo", errors.New("frozen by policy"))
	c := failing(refusal, meshed(former)...)
	report, err := Move(context.Background(), c, member.NewWorld(c, istioSystem), request())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Restarting) != 0 || len(report.Blocked) != 1 || report.Done {
		t.Errorf("report %+v, want the Deployment blocked", report)
	}
}
