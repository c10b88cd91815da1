package controlplane

import (
	"context"
	"errors"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const installation = "meshfleet-system.shop"

func istiodWith(available int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "istiod-" + testutil.Revision, Namespace: testutil.ControlPlane},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "istiod"}}},
		Status:     appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: available, AvailableReplicas: available},
	}
}

// scaled is a Deployment of which more replicas are wanted.
func scaled(d *appsv1.Deployment, replicas int32) *appsv1.Deployment {
	d.Spec.Replicas, d.Status.Replicas = &replicas, replicas
	return d
}

// named is the metadata of a webhook configuration of the revision that the mesh owns.
func named(name string, options ...func(map[string]string)) metav1.ObjectMeta {
	labels := map[string]string{"istio.io/rev": testutil.Revision, meshv1alpha1.LabelInstallation: installation}
	for _, o := range options {
		o(labels)
	}
	return metav1.ObjectMeta{Name: name, Labels: labels}
}

func injector(m metav1.ObjectMeta, bundles ...string) *admissionregistrationv1.MutatingWebhookConfiguration {
	c := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: m}
	for _, b := range bundles {
		c.Webhooks = append(c.Webhooks, admissionregistrationv1.MutatingWebhook{
			ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: []byte(b)},
		})
	}
	return c
}

func validator(m metav1.ObjectMeta, bundles ...string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: m}
	for _, b := range bundles {
		c.Webhooks = append(c.Webhooks, admissionregistrationv1.ValidatingWebhook{
			ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: []byte(b)},
		})
	}
	return c
}

func TestObserve(t *testing.T) {
	theirs := func(l map[string]string) { delete(l, meshv1alpha1.LabelInstallation) }
	other := func(l map[string]string) { l["istio.io/rev"] = "1-28-3" }
	cases := map[string]struct {
		objects                 []client.Object
		wantComplete, wantArmed bool
		wantMessage             string
	}{
		"nothing is there": {wantMessage: "does not exist yet"},
		"istiod starts":    {objects: []client.Object{istiodWith(0), injector(named("i"), "CA"), validator(named("v"), "CA")}, wantMessage: "0 of 1"},
		"it serves and its webhooks are armed": {objects: []client.Object{istiodWith(1), injector(named("i"), "CA", "CA"), validator(named("v"), "CA")},
			wantComplete: true, wantArmed: true, wantMessage: "1 of 1"},
		"one of two pods serves": {objects: []client.Object{scaled(istiodWith(1), 2), injector(named("i"), "CA"), validator(named("v"), "CA")},
			wantArmed: true, wantMessage: "1 of 2"},
		"one of two pods serves and is not armed": {objects: []client.Object{scaled(istiodWith(1), 2), injector(named("i"), ""), validator(named("v"), "CA")},
			wantMessage: "1 of 2"},
		"one webhook of the injector is not armed": {objects: []client.Object{istiodWith(1), injector(named("i"), "CA", ""), validator(named("v"), "CA")},
			wantComplete: true, wantMessage: "caBundle of webhook i"},
		"the validator is not armed": {objects: []client.Object{istiodWith(1), injector(named("i"), "CA"), validator(named("v"), "")},
			wantComplete: true, wantMessage: "caBundle of webhook v"},
		"the webhooks are not applied yet": {objects: []client.Object{istiodWith(1)}, wantComplete: true},
		"the validator is missing":         {objects: []client.Object{istiodWith(1), injector(named("i"), "CA")}, wantComplete: true},
		"those of other revisions and meshes do not count": {objects: []client.Object{istiodWith(1),
			injector(named("i"), "CA"), validator(named("v"), "CA"), injector(named("theirs", theirs), ""), validator(named("other", other), "")},
			wantComplete: true, wantArmed: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Observe(t.Context(), fake.NewClientBuilder().WithObjects(c.objects...).Build(), testutil.ControlPlane, testutil.Revision, installation)
			if err != nil {
				t.Fatal(err)
			}
			if got.Complete != c.wantComplete || got.Armed != c.wantArmed {
				t.Errorf("complete %v, armed %v, want %v and %v", got.Complete, got.Armed, c.wantComplete, c.wantArmed)
			}
			if !strings.Contains(got.Message, c.wantMessage) {
				t.Errorf("message is %q, want %q in it", got.Message, c.wantMessage)
			}
		})
	}
}

func TestObserveReportsWhatCannotBeRead(t *testing.T) {
	broken := errors.New("the API server says no")
	for _, kind := range []string{"Mutating", "Validating"} {
		t.Run(kind, func(t *testing.T) {
			c := interceptor.NewClient(fake.NewClientBuilder().WithObjects(istiodWith(1)).Build(), interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					if _, mutating := list.(*admissionregistrationv1.MutatingWebhookConfigurationList); mutating == (kind == "Mutating") {
						return broken
					}
					return c.List(ctx, list, opts...)
				},
			})
			if got, err := Observe(t.Context(), c, testutil.ControlPlane, testutil.Revision, installation); !errors.Is(err, broken) {
				t.Errorf("state %+v, error %v, want that of the API server", got, err)
			}
		})
	}
}
