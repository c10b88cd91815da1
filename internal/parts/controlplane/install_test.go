package controlplane

import (
	"context"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestInstallWithARefusedRevision lets the API server refuse an istiod. One that is only tried takes nothing from the other, and rollback does
// not even ask for it.
func TestInstallWithARefusedRevision(t *testing.T) {
	const old, target = "istiod-1-28-3", "istiod-1-29-1"
	for name, c := range map[string]struct {
		stage   meshv1alpha1.Stage
		refused string
		kind    string
		want    phase.Kind
		// applied are the Deployments that the API server was asked for.
		applied []string
	}{
		"the Deployment of a target that is tried": {meshv1alpha1.StageInstall, target, "Deployment", phase.Done, []string{old, target}},
		"the autoscaler of a target that is tried": {meshv1alpha1.StageInstall, target, "HorizontalPodAutoscaler", phase.Done, []string{old}},
		"one that serves":                          {meshv1alpha1.StageInstall, old, "Deployment", phase.Stalled, []string{old}},
		"a target that is in use":                  {meshv1alpha1.StageWorkloads, target, "Deployment", phase.Stalled, []string{old, target}},
		"rollback from a target":                   {meshv1alpha1.StageRollback, target, "Deployment", phase.Done, []string{old}},
	} {
		t.Run(name, func(t *testing.T) {
			var applied []string
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}
			remote := fake.NewClientBuilder().WithObjects(namespace).WithInterceptorFuncs(interceptor.Funcs{
				Patch: func(ctx context.Context, w client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
					kind := o.GetObjectKind().GroupVersionKind()
					if kind.GroupKind() == appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind() && !slices.Contains(applied, o.GetName()) {
						applied = append(applied, o.GetName())
					}
					if kind.Kind == c.kind && o.GetName() == c.refused {
						return apierrors.NewInvalid(schema.GroupKind{Group: kind.Group, Kind: kind.Kind}, o.GetName(), nil)
					}
					return w.Patch(ctx, o, patch, options...)
				},
			}).Build()
			m := testutil.Member("east")
			m.Spec = *ordered(c.stage)
			s := &Steps{Charts: library(t)}
			pass := membertest.Over(t, m, remote)
			pass.Target = s.Part().Target(&m.Spec)
			if got := s.install(t.Context(), pass); got.Kind != c.want {
				t.Errorf("result is %s: %s, want %s", got.Kind, got.Text(), c.want)
			}
			slices.Sort(applied)
			if !slices.Equal(applied, c.applied) {
				t.Errorf("the API server was asked for %v, want %v", applied, c.applied)
			}
		})
	}
}
