//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// temptation is how long cert-manager has to make another root. It takes a second where it can.
const temptation = 5 * time.Second

// rootLost deletes the Secret of the root, and that of a member's signing certificate, which a renewal would replace. Nobody
// makes another root, the mesh says what is lost and what to do, traffic goes on, and the restored Secret heals everything.
// The member that joins later in this suite proves that the mesh has the same root again.
func (s *suite) rootLost(t *testing.T) {
	root := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: harness.MeshName + "-root"}}
	signing := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: harness.MeshName + "-east-ca"}}
	ctx, hub := t.Context(), s.env.Hub.Client
	if err := hub.Get(ctx, client.ObjectKeyFromObject(root), root); err != nil {
		t.Fatal(err)
	}
	before, err := s.env.Installation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.step(t, "cert-manager has no Certificate of the root", func() error {
		exists, err := s.env.Hub.Exists(ctx, "cert-manager.io/v1", "Certificate", root.Namespace, root.Name)
		if exists {
			err = errors.Join(err, errors.New("it is still there"))
		}
		return err
	})
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		if err := errors.Join(hub.Delete(ctx, root.DeepCopy()), hub.Delete(ctx, signing)); err != nil {
			return err
		}
		if err := s.awaitRootMissing(ctx); err != nil {
			return err
		}
		if err := requireNone(ctx, hub, temptation, root, signing); err != nil {
			return err
		}
		restored := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: root.Namespace, Name: root.Name}, Type: root.Type, Data: root.Data,
		}
		if err := hub.Create(ctx, restored); err != nil {
			return fmt.Errorf("restore the root: %w", err)
		}
		if err := s.waitReady(ctx); err != nil {
			return err
		}
		return harness.Await(ctx, "a signing certificate of the restored root", time.Minute, func(ctx context.Context) (bool, string, error) {
			err := hub.Get(ctx, client.ObjectKeyFromObject(signing), signing)
			return err == nil && string(signing.Data["ca.crt"]) == string(root.Data[corev1.TLSCertKey]), fmt.Sprint(err), client.IgnoreNotFound(err)
		})
	})
	after, err := s.env.Installation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for what, roots := range map[string][2][]string{
		"pinned":         {before.Status.Trust.PinnedRoot, after.Status.Trust.PinnedRoot},
		"members' roots": {before.Status.Trust.RootFingerprints, after.Status.Trust.RootFingerprints},
	} {
		if len(roots[0]) != 1 || !slices.Equal(roots[0], roots[1]) {
			t.Errorf("%s: before %v, after %v", what, roots[0], roots[1])
		}
	}
}

func (s *suite) awaitRootMissing(ctx context.Context) error {
	return harness.Await(ctx, "the mesh to say "+meshv1alpha1.ReasonRootMissing, time.Minute, func(ctx context.Context) (bool, string, error) {
		inst, err := s.env.Installation(ctx)
		if err != nil {
			return false, "", err
		}
		c := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionTrustRootReady)
		if c == nil || c.Status != metav1.ConditionFalse || c.Reason != meshv1alpha1.ReasonRootMissing ||
			!meta.IsStatusConditionFalse(inst.Status.Conditions, meshv1alpha1.ConditionReady) {
			return false, fmt.Sprint(inst.Status.Conditions), nil
		}
		s.env.Logf("  %s", c.Message)
		return true, "", nil
	})
}

// requireNone wants none of the Secrets to come to be for a while.
func requireNone(ctx context.Context, c client.Client, during time.Duration, secrets ...*corev1.Secret) error {
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Second / 4) {
		for _, s := range secrets {
			if err := c.Get(ctx, client.ObjectKeyFromObject(s), &corev1.Secret{}); !apierrors.IsNotFound(err) {
				return errors.Join(fmt.Errorf("the Secret %s has been made again without the root", s.Name), err)
			}
		}
	}
	return nil
}
