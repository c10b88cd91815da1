package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var rootKeyOfHub = client.ObjectKey{Namespace: operatorNamespace, Name: meshName + "-root"}

// rootLost deletes the root's Secret, puts another root in its place, and restores it. Nothing changes in the members, and
// nobody makes another root.
func (s *suite) rootLost(t *testing.T) {
	backup := s.backup(t)
	pinned := s.pinnedRoot(t)
	var before []*corev1.Secret
	for _, name := range both {
		before = append(before, s.cacerts(t, name))
	}
	t.Run("cert-manager has nothing to make another root of", func(t *testing.T) {
		if err := s.hub.admin.Get(t.Context(), rootKeyOfHub, &cmv1.Certificate{}); !apierrors.IsNotFound(err) {
			t.Errorf("the root's Certificate: %v, want it to be gone", err)
		}
		claim, err := object{"v1", "ConfigMap", controlPlaneNamespace, "meshfleet-member"}.get(t.Context(), s.members["east"])
		must(t, err)
		if data := claim.Object["data"].(map[string]any); data["root"] != pinned[0] {
			t.Errorf("the claim is %v, want it to record root %s", data, pinned[0])
		}
	})
	must(t, s.hub.admin.Delete(t.Context(), backup.DeepCopy()))
	s.awaitRoot(t, meshv1alpha1.ReasonRootMissing)
	t.Run("members go on", func(t *testing.T) {
		for _, name := range both {
			s.readySince(t, name)
		}
	})
	other := s.otherRoot(t)
	must(t, s.hub.admin.Create(t.Context(), other.DeepCopy()))
	s.awaitRoot(t, meshv1alpha1.ReasonRootChanged)
	t.Run("a renewed intermediate of another root is not given out", func(t *testing.T) { s.refuseRenewal(t) })
	must(t, s.hub.admin.Delete(t.Context(), other.DeepCopy()))
	must(t, s.hub.admin.Create(t.Context(), restorable(backup)))
	s.awaitReady(t, both...)
	if diff := cmp.Diff(pinned, s.pinnedRoot(t)); diff != "" {
		t.Errorf("pinned root (-before +after):\n%s", diff)
	}
	for i, name := range both {
		if !cmp.Equal(before[i].Data[rootKey], s.cacerts(t, name).Data[rootKey]) {
			t.Errorf("%s has another root than before", name)
		}
	}
}

// refuseRenewal renews the intermediate of east while another root lies on the hub.
func (s *suite) refuseRenewal(t *testing.T) {
	before := s.cacerts(t, "east")
	must(t, s.hub.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: meshName + "-east-ca"}}))
	await(t, "east refuses it and goes on", func(ctx context.Context) error {
		m, err := s.member(ctx, "east")
		if err != nil {
			return err
		}
		return errors.Join(
			has(m.Status.Conditions, meshv1alpha1.ConditionTrustRootReady, metav1.ConditionFalse, meshv1alpha1.ReasonRootChanged),
			has(m.Status.Conditions, meshv1alpha1.ConditionGatewaysReady, metav1.ConditionTrue, meshv1alpha1.ReasonReady),
		)
	})
	if after := s.cacerts(t, "east"); after.ResourceVersion != before.ResourceVersion {
		t.Error("the member's cacerts have been written")
	}
}

// restored loses everything of the mesh on the hub but the operator, and restores the MeshInstallation alone at first. The
// members tell which root the mesh has; until it is restored none is made.
func (s *suite) restored(t *testing.T) {
	backup, pinned := s.backup(t), s.pinnedRoot(t)
	inst, err := s.installation(t.Context())
	must(t, err)
	s.operator.stop(t)
	s.lose(t, inst)
	s.operator = s.startOperator(t)
	again := shop(meshName)
	again.Spec = inst.Spec
	must(t, s.hub.admin.Create(t.Context(), again))
	s.awaitRoot(t, meshv1alpha1.ReasonRootMissing)
	if diff := cmp.Diff(pinned, s.pinnedRoot(t)); diff != "" {
		t.Errorf("pinned root (-before +after):\n%s", diff)
	}
	must(t, s.hub.admin.Create(t.Context(), restorable(backup)))
	s.awaitReady(t, both...)
	if diff := cmp.Diff(pinned, s.pinnedRoot(t)); diff != "" {
		t.Errorf("pinned root (-before +after):\n%s", diff)
	}
}

// lose takes every object of the mesh off the hub, as a lost etcd would: no finalizer is asked.
func (s *suite) lose(t *testing.T, inst *meshv1alpha1.MeshInstallation) {
	t.Helper()
	s.withoutAdmission(t, func() { s.loseObjects(t, inst) })
}

// withoutAdmission does something while the operator, which admission would ask, does not run.
func (s *suite) withoutAdmission(t *testing.T, do func()) {
	t.Helper()
	admission := &admissionregistrationv1.ValidatingWebhookConfigurationList{}
	must(t, s.hub.admin.List(t.Context(), admission))
	for i := range admission.Items {
		must(t, s.hub.admin.Delete(t.Context(), &admission.Items[i]))
	}
	do()
	for i := range admission.Items {
		admission.Items[i].ObjectMeta = metav1.ObjectMeta{Name: admission.Items[i].Name}
		must(t, s.hub.admin.Create(t.Context(), &admission.Items[i]))
	}
}

func (s *suite) loseObjects(t *testing.T, inst *meshv1alpha1.MeshInstallation) {
	t.Helper()
	members := &meshv1alpha1.MeshMemberList{}
	must(t, s.hub.admin.List(t.Context(), members, client.InNamespace(operatorNamespace)))
	objects := []client.Object{inst.DeepCopy()}
	for i := range members.Items {
		objects = append(objects, &members.Items[i])
	}
	upgrades, err := s.upgrades(t.Context())
	must(t, err)
	for i := range upgrades {
		objects = append(objects, &upgrades[i])
	}
	for _, o := range objects {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		must(t, client.IgnoreNotFound(s.hub.admin.Patch(t.Context(), o, patch)))
		must(t, client.IgnoreNotFound(s.hub.admin.Delete(t.Context(), o)))
	}
	secrets := &corev1.SecretList{}
	must(t, s.hub.admin.List(t.Context(), secrets, client.InNamespace(operatorNamespace), client.MatchingLabels{meshv1alpha1.LabelInstallation: meshName}))
	for i := range secrets.Items {
		must(t, client.IgnoreNotFound(s.hub.admin.Delete(t.Context(), &secrets.Items[i])))
	}
	await(t, "the objects of the mesh to be gone", func(ctx context.Context) error {
		list := &cmv1.CertificateList{}
		if err := s.hub.admin.List(ctx, list, client.InNamespace(operatorNamespace)); err != nil || len(list.Items) > 0 {
			return fmt.Errorf("%d Certificates, %w", len(list.Items), err)
		}
		return nil
	})
}

// awaitRoot waits until the mesh says what is wrong with its root, and makes sure that none was made meanwhile.
func (s *suite) awaitRoot(t *testing.T, reason string) {
	t.Helper()
	await(t, "the mesh says "+reason, func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		return errors.Join(stalled(inst.Status.Conditions, reason),
			has(inst.Status.Conditions, meshv1alpha1.ConditionTrustRootReady, metav1.ConditionFalse, reason))
	})
	if err := s.hub.admin.Get(t.Context(), rootKeyOfHub, &corev1.Secret{}); reason == meshv1alpha1.ReasonRootMissing && !apierrors.IsNotFound(err) {
		t.Errorf("the root's Secret: %v, want none", err)
	}
}

func (s *suite) backup(t *testing.T) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	must(t, s.hub.admin.Get(t.Context(), rootKeyOfHub, secret))
	return secret
}

func (s *suite) cacerts(t *testing.T, member string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	must(t, s.members[member].admin.Get(t.Context(), client.ObjectKey{Namespace: controlPlaneNamespace, Name: "cacerts"}, secret))
	return secret
}

func (s *suite) pinnedRoot(t *testing.T) []string {
	t.Helper()
	inst, err := s.installation(t.Context())
	must(t, err)
	if len(inst.Status.Trust.PinnedRoot) != 1 {
		t.Fatalf("pinned root is %v", inst.Status.Trust.PinnedRoot)
	}
	return slices.Clone(inst.Status.Trust.PinnedRoot)
}

// otherRoot is a root of another key in a Secret of the same name.
func (s *suite) otherRoot(t *testing.T) *corev1.Secret {
	t.Helper()
	certificate := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: rootKeyOfHub.Name}}
	certificate.Spec.SecretName, certificate.Spec.IsCA = rootKeyOfHub.Name, true
	certificate.Spec.Duration = &metav1.Duration{Duration: cmv1.DefaultCertificateDuration}
	secret, err := sign(certificate, nil)
	must(t, err)
	return secret
}

// restorable is a Secret as a backup brings it back.
func restorable(secret *corev1.Secret) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}, Type: secret.Type, Data: secret.Data,
	}
}
