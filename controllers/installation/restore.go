package installation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
)

const (
	// snapshotLabel marks the Secrets that hold a MeshMember while it is made again.
	snapshotLabel = "mesh.meshfleet.io/snapshot"
	snapshotKey   = "meshMember"
	// snapshotLag bounds the wait for the snapshot of a MeshMember that is marked as being restored.
	snapshotLag = time.Minute
)

// restorer makes MeshMembers again that were deleted by hand.
type restorer struct {
	client client.Client
	events events.EventRecorder
	now    time.Time
}

// restore makes every MeshMember again that was deleted while the installation names it: with the spec, labels, annotations
// and status that it had. It returns those that are not back yet, for which nothing may be planned.
//
// The steps are: a snapshot is stored, the finalizer is taken off, the object is created with a mark, its status is written,
// the mark is taken off, and the snapshot is deleted. Each can be repeated, so that the operator may stop between any two.
func (r *restorer) restore(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember,
) (pending []string, err error) {
	snapshots, err := r.snapshots(ctx, inst)
	if err != nil {
		return nil, err
	}
	present := map[string]*meshv1alpha1.MeshMember{}
	for i := range members {
		present[members[i].Name] = &members[i]
	}
	for i := range inst.Spec.Members {
		name := mesh.MemberName(inst.Name, inst.Spec.Members[i].Name)
		if m := present[name]; snapshots[name] == nil && (m == nil || !isDeletedByHand(m, inst) && !mesh.IsRestoring(m)) {
			continue
		}
		// It is written, and the list shares its memory with the cache.
		isBack, err := r.restoreOne(ctx, inst, name, present[name].DeepCopy(), snapshots[name])
		if err != nil {
			return nil, fmt.Errorf("restore MeshMember %q: %w", name, err)
		}
		if !isBack {
			pending = append(pending, name)
		}
	}
	return pending, nil
}

// isDeletedByHand says that the deletion of a MeshMember was not ordered by its installation.
func isDeletedByHand(m *meshv1alpha1.MeshMember, inst *meshv1alpha1.MeshInstallation) bool {
	return !m.DeletionTimestamp.IsZero() && m.Spec.Removal != meshv1alpha1.RemovalNow && metav1.IsControlledBy(m, inst)
}

func (r *restorer) snapshots(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (map[string]*corev1.Secret, error) {
	found := &corev1.SecretList{}
	if err := r.client.List(ctx, found, client.InNamespace(inst.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name, snapshotLabel: "true"}); err != nil {
		return nil, fmt.Errorf("list snapshots of MeshMembers: %w", err)
	}
	out := map[string]*corev1.Secret{}
	for i := range found.Items {
		if m, err := readSnapshot(&found.Items[i]); err == nil {
			out[m.Name] = &found.Items[i]
		}
	}
	return out, nil
}

// restoreOne takes one MeshMember as far as it gets, and says whether it is back. Conflicts and the like are left to the
// next pass.
func (r *restorer) restoreOne(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, name string, m *meshv1alpha1.MeshMember, snapshot *corev1.Secret,
) (bool, error) {
	var err error
	if m != nil && isDeletedByHand(m, inst) {
		if controllerutil.ContainsFinalizer(m, meshv1alpha1.Finalizer) {
			if snapshot, err = r.saveSnapshot(ctx, inst, m); err != nil {
				return false, err
			}
			if err := r.keepSecrets(ctx, inst, m); err != nil {
				return false, err
			}
			if err := r.letGo(ctx, m); err != nil {
				return false, outcome.IgnoreGone(err)
			}
		}
		if len(m.Finalizers) > 0 || snapshot == nil {
			return false, nil
		}
		m = nil
	}
	if snapshot == nil {
		// The mark is there and the snapshot is not: the cache is behind, or the snapshot was deleted.
		if r.now.Sub(m.CreationTimestamp.Time) < snapshotLag {
			return false, nil
		}
		return true, r.unmark(ctx, m)
	}
	saved, err := readSnapshot(snapshot)
	if err != nil {
		return false, err
	}
	if m == nil {
		m = again(saved)
		if err := r.client.Create(ctx, m); err != nil {
			if apierrors.IsAlreadyExists(err) {
				return false, nil
			}
			return false, err
		}
		r.events.Eventf(inst, m, corev1.EventTypeWarning, "MemberRestored", "Restore",
			"Created MeshMember %s again: it was deleted although spec.members lists %s; to remove a member, remove it from spec.members", name, saved.Spec.Cluster)
	}
	if mesh.IsRestoring(m) {
		m.Status = *statusAgain(saved)
		if err := r.client.Status().Update(ctx, m); err != nil {
			return false, outcome.IgnoreGone(err)
		}
		if err := r.unmark(ctx, m); err != nil {
			return false, err
		}
	}
	return true, client.IgnoreNotFound(r.client.Delete(ctx, snapshot))
}

// saveSnapshot stores a MeshMember in a Secret: it has the same values as the object, which not everybody may read.
func (r *restorer) saveSnapshot(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, m *meshv1alpha1.MeshMember,
) (*corev1.Secret, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: mesh.SnapshotName(m.Name), Namespace: m.Namespace}}
	return s, hub.Ensure(ctx, r.client, inst, s, map[string]string{
		meshv1alpha1.LabelInstallation: inst.Name, meshv1alpha1.LabelMember: m.Spec.Cluster, snapshotLabel: "true",
	}, func() error {
		s.Data = map[string][]byte{snapshotKey: raw}
		return nil
	})
}

func readSnapshot(s *corev1.Secret) (*meshv1alpha1.MeshMember, error) {
	m := &meshv1alpha1.MeshMember{}
	if err := json.Unmarshal(s.Data[snapshotKey], m); err != nil {
		return nil, fmt.Errorf("snapshot in Secret %q: %w", s.Name, err)
	}
	return m, nil
}

// keepSecrets makes the installation own what a MeshMember owns, so that the garbage collector leaves it: the credential by
// which peers read the member.
func (r *restorer) keepSecrets(ctx context.Context, inst *meshv1alpha1.MeshInstallation, m *meshv1alpha1.MeshMember) error {
	found := &corev1.SecretList{}
	if err := r.client.List(ctx, found, client.InNamespace(inst.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name, meshv1alpha1.LabelMember: m.Spec.Cluster}); err != nil {
		return fmt.Errorf("list Secrets of the member: %w", err)
	}
	for i := range found.Items {
		s := &found.Items[i]
		if !metav1.IsControlledBy(s, m) {
			continue
		}
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
		if err := r.client.Update(ctx, s); err != nil {
			return fmt.Errorf("write Secret %q: %w", s.Name, err)
		}
	}
	return nil
}

// letGo takes the finalizer off a MeshMember as it is in the snapshot, not a newer one. It owns nothing any more that the
// garbage collector would have to look after.
func (r *restorer) letGo(ctx context.Context, m *meshv1alpha1.MeshMember) error {
	before := m.DeepCopy()
	controllerutil.RemoveFinalizer(m, meshv1alpha1.Finalizer)
	m.Finalizers = withoutCollector(m.Finalizers)
	return r.client.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

func (r *restorer) unmark(ctx context.Context, m *meshv1alpha1.MeshMember) error {
	before := m.DeepCopy()
	delete(m.Annotations, meshv1alpha1.AnnotationRestoring)
	return outcome.IgnoreGone(r.client.Patch(ctx, m, client.MergeFrom(before)))
}

// again is the MeshMember to create for one that was deleted.
func again(saved *meshv1alpha1.MeshMember) *meshv1alpha1.MeshMember {
	m := &meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{
		Name: saved.Name, Namespace: saved.Namespace, Labels: saved.Labels, Annotations: map[string]string{meshv1alpha1.AnnotationRestoring: "true"},
		OwnerReferences: saved.OwnerReferences,
		Finalizers:      withoutCollector(saved.Finalizers),
	}, Spec: saved.Spec}
	for k, v := range saved.Annotations {
		m.Annotations[k] = v
	}
	return m
}

// withoutCollector leaves out the finalizers of the garbage collector, which are about one deletion.
func withoutCollector(finalizers []string) []string {
	return slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool {
		return f == metav1.FinalizerDeleteDependents || f == metav1.FinalizerOrphanDependents
	})
}

// statusAgain is the status of a MeshMember that is made again. Generations count from one again; the deletion of an object
// counts as one.
func statusAgain(saved *meshv1alpha1.MeshMember) *meshv1alpha1.MeshMemberStatus {
	st := saved.Status.DeepCopy()
	observed := func(generation int64) int64 {
		if generation >= saved.Generation-1 {
			return 1
		}
		return 0
	}
	st.ObservedGeneration = observed(st.ObservedGeneration)
	for i := range st.Conditions {
		st.Conditions[i].ObservedGeneration = observed(st.Conditions[i].ObservedGeneration)
	}
	return st
}
