package member

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// injector is the ConfigMap of the injector of 1-29-1 with the values of a chart, as rendered: the platform's are in them.
func injector(values string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.ControlPlane, Name: "istio-sidecar-injector-1-29-1", Labels: map[string]string{"istio.io/rev": "1-29-1"}},
		Data:       map[string]string{"values": values},
	}
}

func firstInstall() *meshv1alpha1.MeshMember {
	return testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions = []meshv1alpha1.Revision{{Name: "1-29-1", Version: "1.29.1"}}
	})
}

// TestCNIAtAFirstInstall reports a member whose values rely on Istio's CNI plugin, without any upgrade.
func TestCNIAtAFirstInstall(t *testing.T) {
	const relies, redirects = `{"pilot": {"cni": {"enabled": true}}}`, `{"pilot": {"cni": {"enabled": false}}}`
	plugin := func(ready int32) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "istio-cni-node", Labels: map[string]string{"k8s-app": "istio-cni-node"}},
			Status:     appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, NumberReady: ready},
		}
	}
	for name, c := range map[string]struct {
		objects []client.Object
		reason  string
		want    string
	}{
		"nothing is installed yet":           {},
		"init containers redirect":           {[]client.Object{injector(redirects)}, meshv1alpha1.ReasonReady, "no revision relies on"},
		"the plugin is missing":              {[]client.Object{injector(relies)}, meshv1alpha1.ReasonCNIMissing, "install the chart istio-cni in the member"},
		"the plugin does not run on a node":  {[]client.Object{injector(relies), plugin(0)}, meshv1alpha1.ReasonCNIMissing, "0 of 2 pods of DaemonSet kube-system/istio-cni-node"},
		"the plugin runs":                    {[]client.Object{injector(relies), plugin(2)}, meshv1alpha1.ReasonReady, "2 of 2 pods"},
		"values that cannot be read are not": {[]client.Object{injector(`[`)}, meshv1alpha1.ReasonRetrying, "could not find out"},
	} {
		t.Run(name, func(t *testing.T) {
			pass := membertest.Pass(t, firstInstall(), c.objects...)
			(&Reconciler{}).tellCNI(t.Context(), pass)
			if c.reason == "" {
				if len(pass.Aside) > 0 {
					t.Errorf("reports %+v", pass.Aside)
				}
				return
			}
			if len(pass.Aside) != 1 {
				t.Fatalf("reports %+v, want one condition", pass.Aside)
			}
			o := pass.Aside[0]
			if o.Type != meshv1alpha1.ConditionSidecarsRedirected || !o.Aside || o.Result.Reason != c.reason || !strings.Contains(o.Result.Text(), c.want) {
				t.Errorf("%+v, want reason %s and %q", o, c.reason, c.want)
			}
			if isReady := c.reason == meshv1alpha1.ReasonReady; (o.Result.Kind == phase.Done) != isReady {
				t.Errorf("kind is %s", o.Result.Kind)
			}
		})
	}
}

// TestCNIIsLookedForSeldom counts the reads: one look a minute.
func TestCNIIsLookedForSeldom(t *testing.T) {
	reads := 0
	remote := interceptor.NewClient(fake.NewClientBuilder().WithObjects(injector(`{}`)).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			reads++
			return c.Get(ctx, key, o, options...)
		},
	})
	r, passes := &Reconciler{}, membertest.Passes(t, firstInstall(), remote)
	for second := range 120 {
		r.tellCNI(t.Context(), passes(testutil.Now.Add(time.Duration(second)*time.Second)))
	}
	if want := int(2 * time.Minute / outcome.Recheck); reads != want {
		t.Errorf("%d reads in two minutes, want %d", reads, want)
	}
}

// TestCNIUnknown takes no failure to read for an answer.
func TestCNIUnknown(t *testing.T) {
	remote := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("broken")
		},
	})
	pass := membertest.Over(t, firstInstall(), remote)
	(&Reconciler{}).tellCNI(t.Context(), pass)
	if len(pass.Aside) != 1 || !pass.Aside[0].Unknown || pass.Aside[0].Result.Reason != meshv1alpha1.ReasonRetrying {
		t.Errorf("reports %+v, want Unknown", pass.Aside)
	}
	(&Reconciler{}).tellCNI(t.Context(), &member.Pass{Object: firstInstall()})
}
