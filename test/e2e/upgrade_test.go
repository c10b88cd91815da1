//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	// upgradeDeadline is how long an upgrade may take without a new step.
	upgradeDeadline = 10 * time.Minute
	// upgradePerSecond is the rate of each of the nine loads.
	upgradePerSecond = 5
	// shortestTokens is the shortest life that Kubernetes grants a token: several are renewed while upgrades run.
	shortestTokens = 10 * time.Minute
)

// TestUpgrade takes a mesh of three members to another release under load, and lets it refuse bad targets. With the build
// tag upgrades it goes between older releases, and goes on with everything else that an upgrade can meet.
func TestUpgrade(t *testing.T) {
	s := newSuite(t, harness.Options{Members: []string{"east", "west", third}, IstioVersions: []string{newVersion, oldVersion}})
	if !t.Run("bring up", s.startUp) {
		t.FailNow()
	}
	if !t.Run("install "+oldVersion, s.installOld) {
		t.FailNow()
	}
	t.Run("reader tokens renewed at "+oldVersion, func(t *testing.T) { s.renewals(t, 1, upgradePerSecond, nil) })
	if !t.Run("to "+newVersion, s.upgradeVersion) {
		t.FailNow()
	}
	t.Run("objects that API servers refuse", s.refusedObjects)
	t.Run("mutual TLS dropped", s.badTLS)
	t.Run("configuration that proxies reject", s.badFilter)
	for _, p := range s.moreUpgrades() {
		t.Run(p.name, func(t *testing.T) {
			p.run(t)
			s.requireDiscovery(t)
		})
	}
}

// part is one part of a story.
type part struct {
	name string
	run  func(*testing.T)
}

// installOld installs the old release with one member in the first wave and two in the second.
func (s *suite) installOld(t *testing.T) {
	ctx := t.Context()
	s.step(t, "remove a former mesh", func() error { return s.env.ForceDeleteMesh(ctx, removalDeadline) })
	s.step(t, "apply the sample at "+oldVersion, func() error {
		return s.env.CreateMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Version = oldVersion
			m.Spec.Members = nil
			for _, name := range s.env.Members() {
				m.Spec.Members = append(m.Spec.Members, harness.MemberByKubeconfig(name, map[string]string{"wave": waveOf(name)}))
			}
			m.Spec.Upgrade.Waves = []meshv1alpha1.Wave{wave("canary"), wave("rest")}
			m.Spec.Discovery.TokenDuration = &metav1.Duration{Duration: shortestTokens}
		})
	})
	s.step(t, "wait for the mesh", func() error { return s.waitReady(ctx) })
	s.step(t, "deploy the workloads", func() error { return s.env.DeployWorkloads(ctx) })
}

func waveOf(member string) string {
	return map[bool]string{true: "canary", false: "rest"}[member == "east"]
}

func wave(name string) meshv1alpha1.Wave {
	two := intstr.FromInt32(2)
	return meshv1alpha1.Wave{
		Name: name, MemberSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"wave": name}}, MaxConcurrent: &two,
		Soak: &metav1.Duration{Duration: 5 * time.Second}, ProgressDeadline: &metav1.Duration{Duration: 90 * time.Second},
	}
}

// upgradeVersion is the whole way to another release: planned first, and then exactly what was planned. What users rely on
// is checked before, in every phase, and after.
func (s *suite) upgradeVersion(t *testing.T) {
	s.checkTraffic(t)
	plan := s.planVersion(t)
	stop, checked := make(chan struct{}), make(chan error, 1)
	go func() { checked <- traffic.RunUntil(t.Context(), s.env, stop) }()
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.PlanHash = plan.Status.Plan.Hash
		return nil
	}, nil)
	close(stop)
	s.step(t, "traffic checks in every phase", func() error { return <-checked })
	if u.Name != plan.Name {
		t.Errorf("MeshUpgrade %s ran, planned was %s", u.Name, plan.Name)
	}
	s.requireUpgraded(t, u)
	s.step(t, "let changes start by themselves again", func() error {
		return s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Upgrade.Mode, m.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeRun, ""
		})
	})
	s.checkTraffic(t)
	s.requireDiscovery(t)
}

// requireDiscovery checks that members still read each other, whatever became of tokens and istiods meanwhile.
func (s *suite) requireDiscovery(t *testing.T) {
	t.Helper()
	s.step(t, "what is new in a member is served in all", func() error { return s.freshServices(t.Context(), "discovered") })
}

// requireUpgraded checks that every member runs the target and nothing else.
func (s *suite) requireUpgraded(t *testing.T, u *meshv1alpha1.MeshUpgrade) {
	t.Helper()
	s.step(t, "every member runs "+u.Spec.To.Revision+" only", func() error {
		for _, m := range s.env.Members() {
			if err := s.env.AwaitRevision(t.Context(), m, u.Spec.To.Revision); err != nil {
				return err
			}
		}
		mesh, err := s.env.Installation(t.Context())
		if err != nil {
			return err
		}
		if got := mesh.Status.EffectiveVersion; got != u.Spec.To.Version {
			return fmt.Errorf("effectiveVersion is %q, want %q", got, u.Spec.To.Version)
		}
		return nil
	})
}

// checkTraffic runs the checks that users' traffic must pass before, during and after.
func (s *suite) checkTraffic(t *testing.T) {
	t.Helper()
	for _, c := range traffic.Checks() {
		s.step(t, c.Name, func() error { return c.Run(t.Context(), s.env) })
	}
}

// upgradeUnderLoad changes the spec while the members given send requests to each other, waits for the end of the upgrade,
// prints what was sent and lost in each phase, and wants nothing lost. It tells watch, if there is one, of each step.
func (s *suite) upgradeUnderLoad(t *testing.T, loaded []string, want meshv1alpha1.UpgradePhase,
	change func(*meshv1alpha1.MeshInstallation) error, watch func(*meshv1alpha1.MeshUpgrade) error,
) *meshv1alpha1.MeshUpgrade {
	t.Helper()
	ctx := t.Context()
	var done *meshv1alpha1.MeshUpgrade
	s.step(t, "upgrade under load", func() error {
		before, err := s.env.Upgrades(ctx)
		if err != nil {
			return err
		}
		// One that is planned may be the one that runs.
		before = slices.DeleteFunc(before, func(u meshv1alpha1.MeshUpgrade) bool { return !u.Status.Phase.IsFinished() })
		load, err := s.env.StartSteady(ctx, loaded, upgradePerSecond)
		if err != nil {
			return err
		}
		phases := harness.NewPhases(load)
		phases.Begin(ctx, "before")
		var changeErr error
		err = s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { changeErr = change(m) })
		if err = cmp.Or(changeErr, err); err == nil {
			done, err = s.env.AwaitUpgrade(ctx, before, upgradeDeadline, []meshv1alpha1.UpgradePhase{want},
				func(u *meshv1alpha1.MeshUpgrade, step string) error {
					phases.Begin(ctx, step)
					if watch == nil {
						return nil
					}
					return watch(u)
				})
		}
		if err == nil {
			phases.Begin(ctx, "over, what is not used goes")
			err = s.env.AwaitRetired(ctx)
		}
		report, loadErr := load.Stop(context.WithoutCancel(ctx))
		phases.Print(s.env, report)
		if err := cmp.Or(err, loadErr); err != nil {
			return err
		}
		return traffic.RequireNoFailure(report)
	})
	return done
}
