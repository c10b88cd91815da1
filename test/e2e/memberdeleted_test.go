//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// memberDeletedByHand deletes the MeshMember of a member while requests flow. It is made again as it was, no request is
// lost, and nothing is written in any member.
func (s *suite) memberDeletedByHand(t *testing.T) {
	ctx := t.Context()
	before, err := s.env.MeshMember(ctx, "west")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	s.underLoad(t, []string{"east", "west"}, loadPerSecond, func() error {
		if err := s.env.Hub.Client.Delete(ctx, before.DeepCopy()); err != nil {
			return err
		}
		if err := s.awaitMadeAgain(ctx, before); err != nil {
			return err
		}
		// What a removal would have begun with shows by now.
		time.Sleep(settle)
		return s.waitReady(ctx)
	})
	after, err := s.env.MeshMember(ctx, "west")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Spec, after.Spec) + cmp.Diff(before.Labels, after.Labels) + cmp.Diff(before.Annotations, after.Annotations) +
		cmp.Diff(before.Finalizers, after.Finalizers) + cmp.Diff(before.OwnerReferences, after.OwnerReferences) +
		cmp.Diff(before.Status.Gateway, after.Status.Gateway) + cmp.Diff(before.Status.Trust, after.Status.Trust); diff != "" {
		t.Errorf("MeshMember (-before +after):\n%s", diff)
	}
	time.Sleep(flushDelay)
	for _, m := range s.env.Members() {
		identity, err := s.env.Identity(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		writes, total, err := s.env.Writes(m, identity, from, time.Now())
		if err != nil || total == 0 {
			t.Errorf("%s: the audit log has %d calls in the period (error: %v), so it proves nothing", m, total, err)
		}
		// The connection is made anew, so the operator may ask by dry run what it has forgotten.
		for _, w := range slices.DeleteFunc(writes, harness.AuditEvent.IsDryRun) {
			t.Errorf("%s: the operator wrote: %s", m, w)
		}
	}
}

// awaitMadeAgain waits until a MeshMember is another object than before, and complete.
func (s *suite) awaitMadeAgain(ctx context.Context, before *meshv1alpha1.MeshMember) error {
	return harness.Await(ctx, before.Name+" to be made again", time.Minute, func(ctx context.Context) (bool, string, error) {
		m, err := s.env.MeshMember(ctx, before.Spec.Cluster)
		if err != nil {
			// It is gone for a moment.
			return false, err.Error(), nil
		}
		_, isMarked := m.Annotations[meshv1alpha1.AnnotationRestoring]
		return m.UID != before.UID && !isMarked, fmt.Sprintf("UID %s, was %s", m.UID, before.UID), nil
	})
}
