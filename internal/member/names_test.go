package member

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const istioSystem = "istio-system"

// naming is the metadata of an object that names the tag prod.
func naming(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{istio.RevisionLabel: "prod"}}
}

func template() corev1.PodTemplateSpec { return corev1.PodTemplateSpec{ObjectMeta: naming("", "")} }

// madeBy is a pod that names the tag prod, of a controller.
func madeBy(kind, name string, labels ...string) *corev1.Pod {
	yes := true
	p := &corev1.Pod{ObjectMeta: naming("demo", "pod")}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, Controller: &yes}}
	for i := 0; i < len(labels); i += 2 {
		p.Labels[labels[i]] = labels[i+1]
	}
	return p
}

func TestReadNames(t *testing.T) {
	at := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name}
	}
	deployment := &appsv1.Deployment{ObjectMeta: at("demo", "echo"), Spec: appsv1.DeploymentSpec{Template: template()}}
	own := &appsv1.Deployment{ObjectMeta: at(istioSystem, "istio-eastwestgateway"), Spec: appsv1.DeploymentSpec{Template: template()}}
	own.Labels = map[string]string{meshv1alpha1.LabelInstallation: "meshfleet-system.shop"}
	managed := &appsv1.Deployment{ObjectMeta: at("demo", "inbound-istio"), Spec: appsv1.DeploymentSpec{Template: template()}}
	managed.Labels = map[string]string{istio.ManagedGatewayLabel: "istio.io-gateway-controller"}
	cronJob := &batchv1.CronJob{ObjectMeta: at("demo", "nightly")}
	cronJob.Spec.JobTemplate.Spec.Template = template()
	job := func(name string, options ...func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: at("demo", name), Spec: batchv1.JobSpec{Template: template()}}
		for _, o := range options {
			o(j)
		}
		return j
	}
	ended := func(j *batchv1.Job) {
		j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	}
	ofCronJob := func(j *batchv1.Job) {
		yes := true
		j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "nightly", Controller: &yes}}
	}
	finished := &corev1.Pod{ObjectMeta: naming("demo", "done"), Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}
	leaving := &corev1.Pod{ObjectMeta: naming("demo", "leaving")}
	leaving.Finalizers, leaving.DeletionTimestamp = []string{"test/leaves"}, &metav1.Time{Time: testutil.Now}
	istiod := &corev1.Pod{ObjectMeta: naming(istioSystem, "istiod-0")}
	istiod.Labels["app"] = "istiod"
	gateways := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		metadata, isMetadata := list.(*metav1.PartialObjectMetadataList)
		if !isMetadata || metadata.Kind != "GatewayList" {
			return c.List(ctx, list, opts...)
		}
		metadata.Items = []metav1.PartialObjectMetadata{{ObjectMeta: naming("demo", "inbound")}}
		return nil
	}}
	tests := map[string]struct {
		objects  []client.Object
		gateways interceptor.Funcs
		want     []string
	}{
		"nothing":     {},
		"a namespace": {objects: []client.Object{&corev1.Namespace{ObjectMeta: naming("", "demo")}}, want: []string{"Namespace demo"}},
		"another name is no holder": {objects: []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "demo", Labels: map[string]string{istio.RevisionLabel: "stable"}}}}},
		"a Gateway":            {gateways: gateways, want: []string{"Gateway demo/inbound"}},
		"a Deployment":         {objects: []client.Object{deployment}, want: []string{"Deployment demo/echo"}},
		"the operator's own":   {objects: []client.Object{own, istiod}},
		"what a Gateway makes": {objects: []client.Object{managed}},
		"a StatefulSet": {objects: []client.Object{&appsv1.StatefulSet{ObjectMeta: at("demo", "db"), Spec: appsv1.StatefulSetSpec{Template: template()}}},
			want: []string{"StatefulSet demo/db"}},
		"a DaemonSet": {objects: []client.Object{&appsv1.DaemonSet{ObjectMeta: at("demo", "agent"), Spec: appsv1.DaemonSetSpec{Template: template()}}},
			want: []string{"DaemonSet demo/agent"}},
		"a CronJob":            {objects: []client.Object{cronJob}, want: []string{"CronJob demo/nightly"}},
		"a Job":                {objects: []client.Object{job("once")}, want: []string{"Job demo/once"}},
		"a Job that has ended": {objects: []client.Object{job("once", ended)}},
		"a CronJob's Job and pod add nothing": {objects: []client.Object{cronJob, job("nightly-1", ofCronJob), madeBy("Job", "nightly-1")},
			want: []string{"CronJob demo/nightly"}},
		"a Deployment's pod adds nothing": {objects: []client.Object{deployment, madeBy("ReplicaSet", "echo-5d4f", "pod-template-hash", "5d4f")},
			want: []string{"Deployment demo/echo"}},
		"a pod of a template that names it no longer": {objects: []client.Object{madeBy("ReplicaSet", "echo-5d4f", "pod-template-hash", "5d4f")},
			want: []string{"Pod demo/pod"}},
		"a bare pod":            {objects: []client.Object{&corev1.Pod{ObjectMeta: naming("demo", "bare")}}, want: []string{"Pod demo/bare"}},
		"pods that do not stay": {objects: []client.Object{finished, leaving}},
		"namespaces come first": {objects: []client.Object{cronJob, &corev1.Namespace{ObjectMeta: naming("", "shop")}}, gateways: gateways,
			want: []string{"Namespace shop", "Gateway demo/inbound", "CronJob demo/nightly"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			names, err := ReadNames(t.Context(), fake.NewClientBuilder().WithObjects(tt.objects...).WithInterceptorFuncs(tt.gateways).Build(), istioSystem)
			if err != nil {
				t.Fatal(err)
			}
			got := names.Of("prod")
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("holders (-want +got):\n%s", diff)
			}
			if len(names.Unknown()) > 0 {
				t.Errorf("unknown %v, want nothing", names.Unknown())
			}
		})
	}
}

// TestReadNamesOfWhatCannotBeListed tells a kind that is not there from one that may name anything.
func TestReadNamesOfWhatCannotBeListed(t *testing.T) {
	batch := schema.GroupResource{Group: "batch", Resource: "cronjobs"}
	for name, tt := range map[string]struct {
		refuse      error
		wantUnknown []string
		wantErr     bool
	}{
		"a kind that may not be listed":      {refuse: apierrors.NewForbidden(batch, "", errors.New("no role")), wantUnknown: []string{"CronJobs"}},
		"a kind that the cluster has not":    {refuse: &meta.NoKindMatchError{}},
		"an API server that does not answer": {refuse: context.DeadlineExceeded, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if _, isCronJobs := list.(*batchv1.CronJobList); isCronJobs {
						return tt.refuse
					}
					return c.List(ctx, list, opts...)
				},
			}).Build()
			names, err := ReadNames(t.Context(), c, istioSystem)
			if (err != nil) != tt.wantErr {
				t.Fatalf("error %v, want one: %t", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.wantUnknown, names.Unknown()); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}
