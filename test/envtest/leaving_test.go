package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// inUse runs a pod with a proxy in a member.
func (s *suite) inUse(t *testing.T, member string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: map[string]string{
			"sidecar.istio.io/status": "{}", "istio.io/rev": revision,
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "played", Image: "played"}}},
	}
	must(t, s.members[member].admin.Create(t.Context(), pod))
	return pod
}

// awaitWorkloads waits until the mesh and a member that is to leave tell of the pod that keeps it.
func (s *suite) awaitWorkloads(t *testing.T, member string) {
	t.Helper()
	await(t, member+" waits for its workloads", func(ctx context.Context) error {
		m, err := s.member(ctx, member)
		if err != nil {
			return err
		}
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		if inst.Status.Members.Leaving == 0 || !strings.Contains(describe(inst.Status.Conditions), "1 pods with a proxy of this mesh run in member "+member+": shop/web;") {
			err = fmt.Errorf("mesh: members %+v, %s", inst.Status.Members, describe(inst.Status.Conditions))
		}
		return errors.Join(err,
			has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonWaitingForWorkloads),
			has(inst.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonWaitingForWorkloads))
	})
}

// waitsForWorkloads: a member that is to leave serves as before, and what it needs is renewed.
func (s *suite) waitsForWorkloads(t *testing.T, name string) {
	s.awaitWorkloads(t, name)
	m, err := s.member(t.Context(), name)
	must(t, err)
	if !m.DeletionTimestamp.IsZero() || m.Spec.Removal != meshv1alpha1.RemovalWhenUnused || len(m.Spec.Peers) != 2 {
		t.Errorf("deleted at %v, removal %q, peers %v", m.DeletionTimestamp, m.Spec.Removal, m.Spec.Peers)
	}
	if err := has(m.Status.Conditions, meshv1alpha1.ConditionDiscoveryReady, metav1.ConditionTrue, meshv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	if label := s.networkLabel(t, name); label != networkOf(name) {
		t.Errorf("the network label of its gateway is %q", label)
	}
	for _, peer := range both {
		remoteSecrets(t, s.members[peer], s.peersOf(peer, []string{"east", "north", "west"}))
	}
	certificate := &cmv1.Certificate{}
	must(t, s.hub.admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: meshName + "-" + name + "-ca"}, certificate))
	root, err := (&issuers{hub: s.hub.admin}).pair(t.Context(), operatorNamespace, meshName+"-root")
	must(t, err)
	renewed, err := sign(certificate, root)
	must(t, err)
	must(t, s.hub.admin.Update(t.Context(), renewed))
	await(t, name+" signs with the new intermediate", func(ctx context.Context) error {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: controlPlaneNamespace, Name: "cacerts"}
		if err := s.members[name].admin.Get(ctx, key, secret); err != nil {
			return err
		}
		if !bytes.Equal(secret.Data["ca-key.pem"], renewed.Data[corev1.TLSPrivateKeyKey]) {
			return errors.New("cacerts has the old key")
		}
		return nil
	})
}

// letGo takes a member out that does not answer any more, and lets it go with what is installed there.
func (s *suite) letGo(t *testing.T) {
	north := s.members["north"]
	s.edit(t, withMember("north"))
	s.awaitReady(t, "east", "north", "west")
	s.writeKubeconfig(t, "north", north.kubeconfig(t, at(nowhere)))
	await(t, "north is unreachable", func(ctx context.Context) error {
		m, err := s.member(ctx, "north")
		return errors.Join(err, has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonConnectionDown))
	})
	s.edit(t, withoutMember("north"))
	await(t, "north says how it is let go", func(ctx context.Context) error {
		m, err := s.member(ctx, "north")
		if err != nil || strings.Contains(describe(m.Status.Conditions), "set spec.deletionPolicy of the MeshInstallation to Orphan") {
			return err
		}
		return errors.New(describe(m.Status.Conditions))
	})
	start := time.Now()
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyOrphan
	})
	s.awaitGone(t, "north")
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyWaitForMembers
	})
	s.awaitReady(t, both...)
	if writes := north.writes(t, start); len(writes) > 0 {
		t.Errorf("written in the member that was let go: %v", writes)
	}
}
