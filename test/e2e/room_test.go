//go:build e2e && upgrades

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// noRoom asks for more memory than the nodes have: the preflight says so, nothing is touched, and the upgrade is gone when
// the change is taken back.
func (s *suite) noRoom(t *testing.T) {
	ctx := t.Context()
	request := []string{"resources", "requests", "memory"}
	before, err := s.env.Upgrades(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.keepSpec(t)
	from := time.Now()
	s.step(t, "ask for room that no node has", func() error {
		var changeErr error
		if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { changeErr = harness.SetValue(m, "900Gi", request...) }); err != nil {
			return err
		}
		return changeErr
	})
	s.step(t, "the upgrade waits for room in every member", func() error {
		return harness.Await(ctx, "the upgrade to say what it waits for", planDeadline, func(ctx context.Context) (bool, string, error) {
			all, err := s.env.Upgrades(ctx)
			if all = harness.NewUpgrades(all, before); err != nil || len(all) == 0 {
				return false, "no MeshUpgrade yet", err
			}
			members, err := s.env.MeshMembers(ctx)
			if err != nil {
				return false, "", err
			}
			hindered := 0
			for i := range members {
				if st := members[i].Status.Rollout; st != nil && strings.Contains(st.Message, string(meshv1alpha1.CheckRoom)) {
					hindered++
				}
			}
			u := &all[len(all)-1]
			seen := fmt.Sprintf("%s: %s; %d members hindered", u.Status.Phase, u.Status.Message, hindered)
			done := hindered == len(members) && strings.Contains(u.Status.Message, string(meshv1alpha1.CheckRoom))
			if done {
				s.env.Logf("  %s", seen)
			}
			return done, seen, nil
		})
	})
	s.requireUntouched(t, from)
}
