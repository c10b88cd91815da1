//go:build e2e && upgrades

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// stays has a pod that nothing makes again, and that thus keeps the revision of its proxy.
const stays = `
apiVersion: v1
kind: Namespace
metadata:
  name: stays
  labels:
    istio.io/rev: prod
---
apiVersion: v1
kind: Pod
metadata:
  name: bare
  namespace: stays
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: echo
    image: lab.local/echo:1
    imagePullPolicy: IfNotPresent
`

// straggler upgrades three members in three waves while a pod of the first keeps the former revision: that holds no wave. Then
// it changes the values, and once more in the middle of the second wave: no member that has moved goes back first.
func (s *suite) straggler(t *testing.T) {
	ctx := t.Context()
	east := s.env.Cluster("east")
	s.keepWaves(t)
	t.Cleanup(func() {
		if err := east.Delete(context.WithoutCancel(ctx), stays); err != nil {
			t.Error(err)
		}
		s.edit(t, func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.DataPlane.Restart = meshv1alpha1.Restart{}
			for i := range m.Spec.Members {
				m.Spec.Members[i].Labels["wave"] = waveOf(m.Spec.Members[i].Name)
			}
		})
	})
	s.step(t, "run a pod that nothing makes again", func() error { return east.Apply(ctx, stays) })
	first := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		all := intstr.FromString("100%")
		m.Spec.DataPlane.Restart.MaxUnavailable = &all
		m.Spec.Upgrade.Waves = nil
		for i := range m.Spec.Members {
			name := m.Spec.Members[i].Name
			m.Spec.Members[i].Labels["wave"] = name
			m.Spec.Upgrade.Waves = append(m.Spec.Upgrade.Waves, wave(name))
		}
		return harness.SetValue(m, "/dev/stdout", "meshConfig", "accessLogFile")
	}, nil)
	s.step(t, "the pod is named, and the mesh is ready", func() error { return s.requireKept(ctx, first) })
	w := &successors{suite: s, first: first}
	s.underLoad(t, s.env.Members(), upgradePerSecond, func() error { return w.run(ctx) })
	s.step(t, "the pod is gone, and what it kept", func() error {
		if err := east.Delete(ctx, stays); err != nil {
			return err
		}
		for _, m := range s.env.Members() {
			if err := s.env.AwaitRevision(ctx, m, w.last.Spec.To.Revision); err != nil {
				return err
			}
		}
		return nil
	})
}

// requireKept wants the pod in the status of its member, the others without anything left, and all of them ready.
func (s *suite) requireKept(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	for _, name := range s.env.Members()[1:] {
		if err := s.env.AwaitRevision(ctx, name, u.Spec.To.Revision); err != nil {
			return err
		}
	}
	return harness.Await(ctx, "the mesh to be ready and to name the member with the pod", readyDeadline, func(ctx context.Context) (bool, string, error) {
		m, err := s.env.MeshMember(ctx, "east")
		if err != nil {
			return false, "", err
		}
		mesh, err := s.env.Installation(ctx)
		if err != nil {
			return false, "", err
		}
		isKept := slices.ContainsFunc(m.Status.Retiring, func(r meshv1alpha1.RetiringRevision) bool {
			return r.Name == u.Spec.From.Revision && slices.Equal(r.Users.Names, []string{"stays/bare"})
		})
		planes := meta.FindStatusCondition(mesh.Status.Conditions, meshv1alpha1.ConditionControlPlanesReady)
		isNamed := planes != nil && planes.Status == metav1.ConditionTrue && strings.Contains(planes.Message, "east") && mesh.Status.Members.Retiring == 1
		isReady := meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReady) &&
			meta.IsStatusConditionTrue(mesh.Status.Conditions, meshv1alpha1.ConditionReady)
		seen := fmt.Sprintf("retiring in east: %+v, in the mesh: %d, ready: %t", m.Status.Retiring, mesh.Status.Members.Retiring, isReady)
		return isKept && isNamed && isReady, seen, nil
	})
}

// successors are two upgrades of which the second one supersedes the first in the middle of its second wave.
type successors struct {
	*suite
	first, last *meshv1alpha1.MeshUpgrade
	// moved are the members that have been ordered to soak, by upgrade.
	moved  map[string]bool
	edited bool
}

func (w *successors) run(ctx context.Context) error {
	before, err := w.env.Upgrades(ctx)
	if err != nil {
		return err
	}
	w.moved = map[string]bool{}
	if err := w.setLog(ctx, "/dev/stderr"); err != nil {
		return err
	}
	var told string
	err = harness.Await(ctx, "the last values to run everywhere", 2*upgradeDeadline, func(ctx context.Context) (bool, string, error) {
		all, err := w.env.Upgrades(ctx)
		if err != nil {
			return false, "", err
		}
		members, err := w.env.MeshMembers(ctx)
		if err != nil {
			return false, "", err
		}
		if all = harness.NewUpgrades(all, before); len(all) == 0 {
			return false, "no MeshUpgrade yet", nil
		}
		w.last = &all[len(all)-1]
		if seen := fmt.Sprintf("%s %s: %s", w.last.Name, w.last.Status.Phase, w.last.Status.Message); seen != told {
			told = seen
			w.env.Logf("  %s", seen)
		}
		if err := w.check(members); err != nil {
			return false, "", harness.Fatal(err)
		}
		if !w.edited && slices.ContainsFunc(members, func(m meshv1alpha1.MeshMember) bool {
			o := m.Spec.Rollout
			return m.Spec.Cluster == w.last.Spec.Waves[1].Members[0] && o != nil && o.Upgrade == w.last.Name && o.Stage == meshv1alpha1.StageWorkloads
		}) {
			w.edited = true
			return false, "another value", w.setLog(ctx, "/dev/null")
		}
		return len(all) == 2 && w.last.Status.Phase == meshv1alpha1.UpgradeSucceeded, told, nil
	})
	if err != nil {
		return err
	}
	all, err := w.env.Upgrades(ctx)
	if all = harness.NewUpgrades(all, before); err != nil || len(all) != 2 {
		return cmp.Or(err, fmt.Errorf("%d upgrades, want 2", len(all)))
	}
	if s := all[0].Status; s.Phase != meshv1alpha1.UpgradeStopped || s.Cause != meshv1alpha1.CauseSuperseded {
		return fmt.Errorf("the first of two is %s (%s): %s", s.Phase, s.Cause, s.Message)
	}
	return nil
}

func (w *successors) setLog(ctx context.Context, file string) error {
	var bad error
	err := w.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { bad = harness.SetValue(m, file, "meshConfig", "accessLogFile") })
	return cmp.Or(bad, err)
}

// check wants each upgrade to start from what the members run: none comes from what was before the first, and none that has
// moved goes back.
func (w *successors) check(members []meshv1alpha1.MeshMember) error {
	for i := range members {
		o, name := members[i].Spec.Rollout, members[i].Spec.Cluster
		if o == nil || o.Upgrade == w.first.Name {
			continue
		}
		key := name + " in " + o.Upgrade
		switch {
		case o.From.Name == w.first.Spec.From.Revision:
			return fmt.Errorf("%s comes from %s, which it had left", key, o.From.Name)
		case o.Stage == meshv1alpha1.StageSoak || o.Stage == meshv1alpha1.StageRetire:
			w.moved[key] = true
		case o.Stage == meshv1alpha1.StageRollback && w.moved[key]:
			return fmt.Errorf("%s goes back after it had moved", key)
		}
	}
	return nil
}
