package envtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// prodInjector is the webhook of the tag prod.
const prodInjector = "istio-revision-tag-prod"

// renameTag renames the tag that a namespace of one member and a CronJob of the other name. It stays where something names it, also
// for a new instance of the operator, and goes by itself where nothing does.
func (s *suite) renameTag(t *testing.T) {
	east, west := s.members["east"], s.members["west"]
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tagged", Labels: map[string]string{"istio.io/rev": "prod"}}}
	must(t, east.admin.Create(t.Context(), namespace))
	cronJob := nightly()
	must(t, west.admin.Create(t.Context(), cronJob))
	start := time.Now()
	retag := func(tags ...string) {
		s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.DataPlane.Tags = testutil.Tags(tags...) })
	}
	retag("stable")
	s.awaitKept(t, "east", "Namespace tagged")
	s.awaitKept(t, "west", "CronJob default/nightly")
	s.awaitReady(t, both...)
	await(t, "the mesh names the members", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionTagsCurrent)
		want := "2 members keep tags that spec.dataPlane.tags does not name, because objects there name them: east (prod), west (prod); " +
			"status.keptTags of each MeshMember has the objects"
		if c == nil || c.Status != metav1.ConditionFalse || c.Message != want {
			return fmt.Errorf("condition %+v, want it False: %s", c, want)
		}
		return nil
	})
	s.operator.stop(t)
	s.operator = s.startOperator(t)
	before := namespace.DeepCopy()
	namespace.Labels["istio.io/rev"] = "stable"
	must(t, east.admin.Patch(t.Context(), namespace, client.MergeFrom(before)))
	await(t, "the tag is gone from east", func(ctx context.Context) error {
		err := east.admin.Get(ctx, client.ObjectKey{Name: prodInjector}, &admissionregistrationv1.MutatingWebhookConfiguration{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the webhook is still there (%w)", err)
		}
		return s.tagsAreCurrent(ctx, "east")
	})
	s.awaitKept(t, "west", "CronJob default/nightly")
	retag("prod")
	await(t, "the tag of west is one of the spec again", func(ctx context.Context) error { return s.tagsAreCurrent(ctx, "west") })
	s.awaitReady(t, both...)
	for _, one := range west.calls(t, start) {
		if one.Verb == "delete" && one.isAbout("mutatingwebhookconfigurations", prodInjector) {
			t.Errorf("the tag of west was deleted: %v", one)
		}
	}
	must(t, west.admin.Delete(t.Context(), cronJob))
	delete(namespace.Labels, "istio.io/rev")
	must(t, east.admin.Update(t.Context(), namespace))
	await(t, "east keeps no tag", func(ctx context.Context) error { return s.tagsAreCurrent(ctx, "east") })
	s.awaitCalm(t)
}

// nightly is a CronJob whose pods ask for the tag prod, while none runs.
func nightly() *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "nightly"}}
	c.Spec.Schedule = "0 3 * * *"
	c.Spec.JobTemplate.Spec.Template = corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"istio.io/rev": "prod", "sidecar.istio.io/inject": "true"}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "job", Image: "job"}}},
	}
	return c
}

// awaitKept waits until a member keeps the tag prod for one holder, and its webhook is there.
func (s *suite) awaitKept(t *testing.T, member, holder string) {
	t.Helper()
	await(t, member+" keeps the tag for "+holder, func(ctx context.Context) error {
		m, err := s.member(ctx, member)
		if err != nil {
			return err
		}
		kept := m.Status.KeptTags
		if len(kept) != 1 || kept[0].Name != "prod" || !slices.Equal(kept[0].Holders.Names, []string{holder}) || len(kept[0].Unknown) > 0 {
			return fmt.Errorf("kept tags: %+v", kept)
		}
		if !meta.IsStatusConditionFalse(m.Status.Conditions, meshv1alpha1.ConditionTagsCurrent) {
			return fmt.Errorf("conditions: %+v", m.Status.Conditions)
		}
		w := &admissionregistrationv1.MutatingWebhookConfiguration{}
		if err := s.members[member].admin.Get(ctx, client.ObjectKey{Name: prodInjector}, w); err != nil || w.Labels["istio.io/rev"] != revision {
			return fmt.Errorf("the webhook points at %q (%w)", w.Labels["istio.io/rev"], err)
		}
		return nil
	})
}

func (s *suite) tagsAreCurrent(ctx context.Context, member string) error {
	m, err := s.member(ctx, member)
	if err != nil {
		return err
	}
	if len(m.Status.KeptTags) > 0 || !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionTagsCurrent) {
		return fmt.Errorf("kept tags %+v, conditions %+v", m.Status.KeptTags, m.Status.Conditions)
	}
	return nil
}
