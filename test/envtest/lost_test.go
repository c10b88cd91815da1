package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// deleteByHand deletes the MeshMember of a member that the mesh still has, in several ways: it comes back as it was, and
// nothing is written in its cluster.
func (s *suite) deleteByHand(t *testing.T) {
	for name, policy := range map[string]metav1.DeletionPropagation{
		"in the background": metav1.DeletePropagationBackground,
		// Nobody plays the garbage collector's part in it, which is not needed.
		"in the foreground": metav1.DeletePropagationForeground,
	} {
		t.Run(name, func(t *testing.T) {
			s.awaitCalm(t)
			before, err := s.member(t.Context(), "west")
			must(t, err)
			start := time.Now()
			must(t, s.hub.admin.Delete(t.Context(), before, client.PropagationPolicy(policy)))
			after := s.awaitMadeAgain(t, before)
			if diff := cmp.Diff(before.Spec, after.Spec) + cmp.Diff(before.Labels, after.Labels) + cmp.Diff(before.Annotations, after.Annotations) +
				cmp.Diff(before.Finalizers, after.Finalizers) + cmp.Diff(before.OwnerReferences, after.OwnerReferences); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(withoutTimes(before), withoutTimes(after)); diff != "" {
				t.Errorf("status (-before +after):\n%s", diff)
			}
			s.awaitReady(t, both...)
			s.awaitCalm(t)
			s.unchanged(t, start)
			if left, err := s.hub.labelled(t.Context(), "mesh.meshfleet.io/snapshot=true"); err != nil || len(left) > 0 {
				t.Errorf("snapshots are left: %v, %v", left, err)
			}
		})
	}
	t.Run("with its finalizer", s.loseMember)
	t.Run("all status is lost", s.loseStatus)
}

// awaitMadeAgain waits until a MeshMember is another object than before, and complete.
func (s *suite) awaitMadeAgain(t *testing.T, before *meshv1alpha1.MeshMember) *meshv1alpha1.MeshMember {
	t.Helper()
	var after *meshv1alpha1.MeshMember
	await(t, before.Name+" is made again", func(ctx context.Context) error {
		m, err := s.member(ctx, before.Spec.Cluster)
		if err != nil {
			return err
		}
		if _, isMarked := m.Annotations[meshv1alpha1.AnnotationRestoring]; isMarked || m.UID == before.UID || len(m.Status.Conditions) == 0 {
			return fmt.Errorf("uid %s, was %s; annotations %v", m.UID, before.UID, m.Annotations)
		}
		after = m
		return nil
	})
	return after
}

// withoutTimes is a status without generations, which count from one again.
func withoutTimes(m *meshv1alpha1.MeshMember) meshv1alpha1.MeshMemberStatus {
	st := *m.Status.DeepCopy()
	st.ObservedGeneration = 0
	for i := range st.Conditions {
		st.Conditions[i].ObservedGeneration = 0
	}
	return st
}

// loseMember takes the finalizer off as well, so that nothing of the MeshMember is left.
func (s *suite) loseMember(t *testing.T) {
	objects := westObjects(t, s.members["west"])
	before, err := s.member(t.Context(), "west")
	must(t, err)
	must(t, s.hub.admin.Delete(t.Context(), before.DeepCopy()))
	for range 50 {
		stripped := &meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Namespace: before.Namespace, Name: before.Name}}
		err := s.hub.admin.Patch(t.Context(), stripped, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if m, err := s.member(t.Context(), "west"); apierrors.IsNotFound(err) || err == nil && m.UID != before.UID {
			break
		}
	}
	s.awaitMadeAgain(t, before)
	s.awaitReady(t, both...)
	after, err := s.member(t.Context(), "west")
	must(t, err)
	if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
		t.Errorf("work order (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(objects, westObjects(t, s.members["west"])); diff != "" {
		t.Errorf("objects in the member (-before +after):\n%s", diff)
	}
}

// loseStatus is a hub that was restored from a backup without status while the spec asks for another release: that is what
// nobody may be given in place.
func (s *suite) loseStatus(t *testing.T) {
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Version, inst.Spec.Upgrade.Mode = newer, meshv1alpha1.UpgradeModePlan
	})
	s.awaitPlanned(t)
	s.awaitCalm(t)
	s.operator.stop(t)
	start := time.Now()
	inst, err := s.installation(t.Context())
	must(t, err)
	inst.Status = meshv1alpha1.MeshInstallationStatus{}
	must(t, s.hub.admin.Status().Update(t.Context(), inst))
	orders := map[string]meshv1alpha1.MeshMemberSpec{}
	for _, name := range both {
		m, err := s.member(t.Context(), name)
		must(t, err)
		orders[name] = *m.Spec.DeepCopy()
		m.Status = meshv1alpha1.MeshMemberStatus{}
		must(t, s.hub.admin.Status().Update(t.Context(), m))
	}
	s.operator = s.startOperator(t)
	await(t, "the members have found out what they run", func(ctx context.Context) error {
		var errs []error
		for _, name := range both {
			m, err := s.member(ctx, name)
			errs = append(errs, err)
			if err == nil && (m.Status.Recovered != nil || len(m.Status.Trust.RootFingerprints) == 0 || len(m.Spec.Revisions) != 1 || m.Spec.Revisions[0].Name != revision) {
				errs = append(errs, fmt.Errorf("%s: revisions %v, recovered %v, %s", name, m.Spec.Revisions, m.Status.Recovered, describe(m.Status.Conditions)))
			}
		}
		return errors.Join(errs...)
	})
	s.awaitPlanned(t)
	s.unchanged(t, start)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Version, inst.Spec.Upgrade.Mode = version, meshv1alpha1.UpgradeModeRun
	})
	s.awaitReady(t, both...)
	for _, name := range both {
		m, err := s.member(t.Context(), name)
		must(t, err)
		// The plan's order is gone, and what was prepared for it may stay.
		order := orders[name]
		order.Rollout, order.ReaderVersion = m.Spec.Rollout, m.Spec.ReaderVersion
		if diff := cmp.Diff(order, m.Spec); diff != "" {
			t.Errorf("work order of %s (-before +after):\n%s", name, diff)
		}
	}
}

// awaitPlanned waits until the mesh only plans what its spec asks for.
func (s *suite) awaitPlanned(t *testing.T) {
	t.Helper()
	await(t, "the other release is planned", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		return errors.Join(err, has(inst.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, meshv1alpha1.ReasonUpgradePlanned))
	})
}

// unchanged fails when the operator has changed anything in a member since a moment.
func (s *suite) unchanged(t *testing.T, since time.Time) {
	t.Helper()
	for _, name := range both {
		calls := s.members[name].calls(t, since)
		if len(calls) == 0 {
			t.Errorf("%s: the operator has not called at all, so its silence proves nothing", name)
		}
		for _, one := range calls {
			if one.changes() && !one.isOfMarker() && !strings.HasPrefix(one.ObjectRef.Resource, "selfsubject") {
				t.Errorf("%s: %s", name, one)
			}
		}
	}
}
