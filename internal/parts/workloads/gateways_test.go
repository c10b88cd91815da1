package workloads

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// gateway adds what istiod of a revision has made for a Gateway of the namespace demo, healthy and with two pods.
func gateway(name, revision string, options ...func(*part)) func(*World) {
	made := func(p *part) { p.Gateway, p.Rendered = name, revision }
	return func(w *World) {
		if w.Gateways == nil {
			w.Gateways = map[types.NamespacedName]map[string]string{}
		}
		workload(member.KindDeployment, "demo", name+"-istio", append([]func(*part){made, pods(revision, revision)}, options...)...)(w)
	}
}

// labelled gives a Gateway of the namespace demo the label of a revision.
func labelled(name, revision string) func(*World) {
	return func(w *World) {
		w.Gateways[types.NamespacedName{Namespace: "demo", Name: name}] = map[string]string{"istio.io/rev": revision}
	}
}

func TestPlanGateways(t *testing.T) {
	const replacing = "Deployment demo/web-istio: istiod replaces its pods"
	checkPlans(t, map[string]planCase{
		"is done when istiod has replaced every pod": {
			world: clusterWith(gateway("web", target)), request: request(), wantReport: Report{Total: 1, Moved: 1, Done: true},
		},
		"waits for istiod to take it over, and restarts nothing": {
			world: clusterWith(gateway("web", former)), request: request(),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/web-istio: istiod of revision 1-29-1 has not taken it over yet"}},
		},
		"waits for the last old pod": {
			world:      clusterWith(gateway("web", target, pods(target, target, former), pod(2, leaves))),
			request:    request(),
			wantReport: Report{Total: 1, Restarting: []string{replacing}},
		},
		"waits while pods are replaced": {
			world: clusterWith(gateway("web", target, pods(former, target), rolling)), request: request(),
			wantReport: Report{Total: 1, Restarting: []string{replacing}},
		},
		"waits for pods that cannot be made": {
			world: clusterWith(gateway("web", target, pods(), with(func(w *Workload) {
				w.Existing, w.Updated, w.Available, w.Obstacle = 0, 0, 0, "FailedCreate: quota"
			}))),
			request:    request(),
			wantReport: Report{Total: 1, Restarting: []string{replacing + ", FailedCreate: quota"}},
		},
		"says that a new pod crashes, which is for the gates to judge": {
			world: clusterWith(gateway("web", target, pods(former, target), pod(1, crashes3), rolling)), request: request(),
			wantReport: Report{Total: 1, Restarting: []string{
				replacing + ", new pod web-istio-1: container app does not stay up: exit code 1, Error"}},
		},
		"does not wait for new pods to serve": {
			world: clusterWith(gateway("web", target, unavailable)), request: request(), wantReport: Report{Total: 1, Moved: 1, Done: true},
		},
		"takes places of the batch": {
			world: clusterWith(gateway("web", former), deployment("a"), deployment("b")), request: request(atOnce(intstr.FromInt32(2))),
			wantReport: Report{Total: 3, Waiting: []string{"Deployment demo/b"}, Restarting: []string{
				"Deployment demo/a", "Deployment demo/web-istio: istiod of revision 1-29-1 has not taken it over yet"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"is not evicted": {
			world: clusterWith(gateway("web", former)), request: request(evicting),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/web-istio: istiod of revision 1-29-1 has not taken it over yet"}},
		},
		"goes back by istiod too": {
			world: clusterWith(gateway("web", target)), request: request(goBack),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/web-istio: istiod of revision 1-28-3 has not taken it over yet"}},
		},
		"skips one that is pinned": {
			world: clusterWith(gateway("web", former), labelled("web", former)), request: request(),
			wantReport: Report{Done: true, Skipped: []string{"Deployment demo/web-istio: is pinned to revision 1-28-3 by the label " +
				"istio.io/rev of its Gateway: take the label off, or name a tag in it"}},
		},
		"skips one whose namespace is pinned": {
			world: clusterWith(gateway("web", former), namespace("demo", map[string]string{"istio.io/rev": former})), request: request(),
			wantReport: Report{Done: true, Skipped: []string{"Deployment demo/web-istio: is pinned to revision 1-28-3 by the label " +
				"istio.io/rev of its namespace: take the label off, or name a tag in it"}},
		},
		"skips one that nobody keeps": {
			world: clusterWith(gateway("web", former), labelled("web", "1-20-0")), request: request(),
			wantReport: Report{Done: true, Skipped: []string{"Deployment demo/web-istio: the label istio.io/rev of its Gateway asks for " +
				"1-20-0, which is neither a tag nor an installed revision: no istiod keeps it"}},
		},
		"follows the tag in its Gateway's label before that of its namespace": {
			world:      clusterWith(gateway("web", former), labelled("web", "prod"), namespace("demo", map[string]string{"istio.io/rev": "default"})),
			request:    request(func(r *Request) { r.Tags["prod"] = former }),
			wantReport: Report{Total: 1, Moved: 1, Done: true},
		},
		"waits for pods of a Gateway that was deleted": {
			world: clusterWith(loose(Reference{Kind: member.KindDeployment, Namespace: "demo", Name: "web-istio"}, "web-1", func(p *Pod) {
				p.Injection.Out = true
			})),
			request:    request(),
			wantReport: Report{Waiting: []string{"Deployment demo/web-istio: was deleted, its pods have not gone yet"}},
		},
		"lets the first namespaces be checked when their gateways have moved": {
			world: clusterWith(gateway("web", target), workload(member.KindDeployment, "shop", "a")),
			request: request(func(r *Request) {
				r.First = labels.SelectorFromSet(labels.Set{"istio-injection": "enabled"})
			}),
			wantReport: Report{Total: 2, Moved: 1, Check: true,
				Waiting: []string{"Deployment shop/a: waits until the first namespaces are checked"}},
		},
	})
}

func TestForeseeGateways(t *testing.T) {
	w := clusterWith(gateway("web", former), gateway("pinned", former), labelled("pinned", former))
	want := Forecast{Restarts: []string{"Deployment demo/web-istio"}, Pods: 2}
	if diff := cmp.Diff(want, Foresee(w, request())); diff != "" {
		t.Errorf("forecast (-want +got):\n%s", diff)
	}
}

func TestObserveGateways(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "web-1", Labels: map[string]string{istio.ManagedGatewayLabel: "istio.io-gateway-controller", injectKey: "false"},
		Annotations: map[string]string{istio.RevisionLabel: former},
	}}
	broken := errors.New("broken")
	tests := map[string]struct {
		made    bool
		err     error
		want    map[types.NamespacedName]map[string]string
		wantErr error
	}{
		"does not read Gateways if istiod has made nothing": {err: broken},
		"reads the labels of Gateways": {made: true, want: map[types.NamespacedName]map[string]string{
			{Namespace: "demo", Name: "web"}: {istio.RevisionLabel: "prod"}}},
		"reads none where there are none any more": {
			made: true, err: &meta.NoKindMatchError{}, want: map[types.NamespacedName]map[string]string{},
		},
		"fails when they cannot be read": {made: true, err: broken, wantErr: broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			objects := meshed(former)
			if tt.made {
				for _, o := range objects {
					if o.GetName() == echo.Name {
						o.SetLabels(map[string]string{istio.ManagedGatewayLabel: "istio.io-gateway-controller"})
						o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway", Name: "web"}})
					}
				}
			}
			c := fake.NewClientBuilder().WithObjects(append(objects, pod)...).WithInterceptorFuncs(interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					partial, isPartial := list.(*metav1.PartialObjectMetadataList)
					if !isPartial || partial.Kind != "GatewayList" {
						return c.List(ctx, list, opts...)
					}
					partial.Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{
						Namespace: "demo", Name: "web", Labels: map[string]string{istio.RevisionLabel: "prod"},
					}}}
					return tt.err
				},
			}).Build()
			w, err := Observe(context.Background(), member.NewWorld(c, istioSystem), request())
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error %v, want %v", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, w.Gateways); diff != "" {
				t.Errorf("gateways (-want +got):\n%s", diff)
			}
			for _, p := range w.Pods {
				if p.Name == pod.Name && (!p.HasProxy || p.Revision != former) {
					t.Errorf("pod %+v, want it with a proxy of %s", p, former)
				}
			}
		})
	}
}
