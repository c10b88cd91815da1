package envtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	steerer   = "steerer"
	orderPath = "metadata.annotations[" + meshv1alpha1.AnnotationAction + "]"
)

// steer lets somebody who may do nothing else pause the upgrade under way, let it go on, abort it and order it again, all
// by its annotation. In the end the second try is under way.
func (s *suite) steer(t *testing.T) {
	person := s.steeringClient(t)
	first, err := s.upgrade(t.Context())
	must(t, err)
	for _, word := range []meshv1alpha1.UpgradeAction{"Stop", meshv1alpha1.UpgradeActionRetry} {
		must(t, refused(order(t.Context(), person, first, word), orderPath))
	}
	must(t, order(t.Context(), person, first, meshv1alpha1.UpgradeActionPause))
	await(t, "the upgrade is paused by annotation", func(ctx context.Context) error {
		u, err := s.upgrade(ctx)
		if err != nil {
			return err
		}
		if u.Status.Phase != meshv1alpha1.UpgradePaused || !strings.Contains(u.Status.Message, meshv1alpha1.AnnotationAction) {
			return fmt.Errorf("the upgrade is %s: %s", u.Status.Phase, u.Status.Message)
		}
		return nil
	})
	// What a tool writes back into the spec changes nothing.
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.State = meshv1alpha1.UpgradeStateRun })
	must(t, order(t.Context(), person, first, ""))
	s.awaitDeeds(t, first.Name, "Pause by annotation", "Resume by annotation")
	must(t, order(t.Context(), person, first, meshv1alpha1.UpgradeActionAbort))
	await(t, "the run is back", func(ctx context.Context) error {
		u, err := s.upgrade(ctx)
		if err != nil {
			return err
		}
		if u.Status.Phase != meshv1alpha1.UpgradeRolledBack || u.Status.Cause != meshv1alpha1.CauseAborted {
			return fmt.Errorf("the upgrade is %s (%s): %s", u.Status.Phase, u.Status.Cause, u.Status.Message)
		}
		return nil
	})
	s.awaitAborted(t, "annotation "+meshv1alpha1.AnnotationAction+" of MeshUpgrade "+first.Name)
	must(t, refused(order(t.Context(), person, first, meshv1alpha1.UpgradeActionPause), orderPath))
	must(t, refused(person.Delete(t.Context(), first), "meshupgrades"))
	// The plan was run; nothing is left to be quoted.
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.Mode, inst.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeRun, ""
	})
	must(t, order(t.Context(), person, first, meshv1alpha1.UpgradeActionRetry))
	second := ""
	await(t, "the same target starts once more", func(ctx context.Context) error {
		all, err := s.upgrades(ctx)
		if err != nil {
			return err
		}
		if len(all) != 2 || all[1].Status.StartedAt == nil || all[1].Spec.Retry == nil {
			return fmt.Errorf("upgrades: %v", all)
		}
		if r := all[1].Spec.Retry; r.Of != first.Name || all[1].Spec.To.Hash != first.Spec.To.Hash {
			t.Errorf("%s tries %+v again, target %s, want %s of %s", all[1].Name, r, all[1].Spec.To.Hash, first.Spec.To.Hash, first.Name)
		}
		second = all[1].Name
		return nil
	})
	must(t, order(t.Context(), person, first, ""))
	s.awaitDeeds(t, first.Name, "Pause by annotation", "Resume by annotation", "Abort by annotation")
	s.awaitDeeds(t, second, "Retry by annotation")
	await(t, "the events of what was ordered", func(ctx context.Context) error {
		got, _, err := s.events(ctx)
		for _, want := range []string{first.Name + ": Paused", first.Name + ": Resumed", first.Name + ": Aborted", second + ": Retried"} {
			if !slices.Contains(got, "MeshUpgrade "+want) {
				err = errors.Join(err, fmt.Errorf("no event %q among %q", want, got))
			}
		}
		return err
	})
}

// steeringClient is that of a person who has the role to steer upgrades and no other.
func (s *suite) steeringClient(t *testing.T) client.Client {
	t.Helper()
	must(t, s.hub.createFile(t.Context(), filepath.Join(configDir, "rbac", "meshupgrade_steering_role.yaml"), ""))
	must(t, s.hub.admin.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: steerer, Namespace: operatorNamespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "meshfleet-meshupgrade-steering"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: steerer}},
	}))
	config := rest.CopyConfig(s.hub.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: steerer}
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: s.hub.admin.RESTMapper()})
	must(t, err)
	await(t, "the role is in force", func(ctx context.Context) error {
		return c.List(ctx, &meshv1alpha1.MeshUpgradeList{}, client.InNamespace(operatorNamespace))
	})
	return c
}

// order writes the annotation of an upgrade, whatever it is by now. Empty takes it away.
func order(ctx context.Context, person client.Client, u *meshv1alpha1.MeshUpgrade, word meshv1alpha1.UpgradeAction) error {
	value := "null"
	if word != "" {
		value = fmt.Sprintf("%q", word)
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, meshv1alpha1.AnnotationAction, value)
	return person.Patch(ctx, u.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// upgrades are the records of all upgrades, oldest first.
func (s *suite) upgrades(ctx context.Context) ([]meshv1alpha1.MeshUpgrade, error) {
	found := &meshv1alpha1.MeshUpgradeList{}
	err := s.hub.admin.List(ctx, found, client.InNamespace(operatorNamespace))
	slices.SortFunc(found.Items, func(a, b meshv1alpha1.MeshUpgrade) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return found.Items, err
}

// awaitDeeds waits until exactly this is recorded of what people did to an upgrade.
func (s *suite) awaitDeeds(t *testing.T, name string, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("it is recorded of %s: %v", name, want), func(ctx context.Context) error {
		u := &meshv1alpha1.MeshUpgrade{}
		if err := s.hub.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: name}, u); err != nil {
			return err
		}
		var got []string
		for _, i := range u.Status.Interventions {
			got = append(got, fmt.Sprintf("%s by %s", i.Action, i.By))
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("recorded: %q", got)
		}
		return nil
	})
}

// awaitAborted waits until the mesh says that it stays where it is, and why.
func (s *suite) awaitAborted(t *testing.T, why string) {
	t.Helper()
	await(t, "the mesh says that it stays where it is", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		if inst.Status.EffectiveVersion != version {
			t.Errorf("effective version %s, want %s", inst.Status.EffectiveVersion, version)
		}
		for _, c := range inst.Status.Conditions {
			if c.Type == meshv1alpha1.ConditionStalled && !strings.Contains(c.Message, why) {
				return fmt.Errorf("stalled, but not by %s: %s", why, c.Message)
			}
		}
		return stalled(inst.Status.Conditions, meshv1alpha1.ReasonUpgradeAborted)
	})
}
