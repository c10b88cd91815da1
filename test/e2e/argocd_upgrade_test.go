//go:build e2e && packaging

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/harness/argocd"
)

// upgraded changes the version by a commit. The upgrade is paused and resumed by actions of Argo CD, and waits for an approval, which
// Argo CD's account cannot give.
func (g *gitops) upgraded(t *testing.T) {
	ctx := t.Context()
	before, mesh := g.upgrades(t), g.mesh(t)
	record, from := g.argo.Record(ctx, meshApp), time.Now()
	var commit string
	g.step(t, "commit version "+newVersion, func() (err error) {
		if err = g.fleet.SetVersion(newVersion); err == nil {
			commit, err = g.fleet.Commit(ctx, "Upgrade the mesh to Istio "+newVersion)
		}
		return err
	})
	u := g.awaitPhase(t, before, meshv1alpha1.UpgradeRunning)
	g.env.Logf("  MeshUpgrade %s runs %.0f s after the commit", u.Name, time.Since(from).Seconds())
	g.step(t, "pause by the action of Argo CD", func() error { return g.runAction(ctx, u, "pause", "Suspended") })
	if paused := g.upgrade(t, before); paused.Status.Phase != meshv1alpha1.UpgradePaused {
		t.Errorf("the upgrade is %s after the action pause, want %s", paused.Status.Phase, meshv1alpha1.UpgradePaused)
	}
	g.step(t, "resume by the action of Argo CD", func() error { return g.runAction(ctx, u, "resume", "Progressing") })
	u = g.awaitPhase(t, before, meshv1alpha1.UpgradeWaitingForApproval)
	g.step(t, "the Application is Suspended", func() error {
		_, err := g.argo.AwaitAt(ctx, meshApp, commit, "Suspended", gitopsDeadline)
		return err
	})
	g.step(t, "Argo CD may not approve", func() error { return g.refuseApproval(ctx, u) })
	// Long enough for Argo CD to compare, and to take back what it thinks is wrong.
	time.Sleep(time.Minute)
	g.step(t, "approve", func() error { return g.approve(ctx, u) })
	g.step(t, "wait for the end of the upgrade", func() error {
		_, err := g.argo.AwaitAt(ctx, meshApp, commit, "Healthy", gitopsDeadline)
		return err
	})
	to := time.Now()
	g.requireHealth(t, record, []string{"Progressing", "Suspended", "Progressing", "Suspended", "Progressing", "Healthy"})
	g.requireUpgraded(t, g.awaitPhase(t, before, meshv1alpha1.UpgradeSucceeded))
	g.requireChanged(t, mesh, from, 1)
	g.requireActions(t, u, from, to)
	g.step(t, "all Applications are Synced and Healthy", func() error { return g.allWell(ctx) })
}

// requireActions wants Argo CD's API server to have written the actions, and to have recorded them as events of the Application.
func (g *gitops) requireActions(t *testing.T, u *meshv1alpha1.MeshUpgrade, from, to time.Time) {
	t.Helper()
	writes, _ := g.writesOnHub(t, argocd.Server, from, to)
	for _, w := range writes {
		if w.ObjectRef.Resource != "meshupgrades" || w.ObjectRef.Name != u.Name {
			t.Errorf("Argo CD wrote: %s", w)
		}
	}
	events := &corev1.EventList{}
	if err := g.env.Hub.Client.List(t.Context(), events, client.InNamespace(argocd.Namespace)); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for i := range events.Items {
		if e := &events.Items[i]; e.Reason == "ResourceActionRan" && e.InvolvedObject.Kind == "Application" && e.InvolvedObject.Name == meshApp {
			ran++
			g.env.Logf("  event of the Application: %s", e.Message)
		}
	}
	if len(writes) != 2 || ran != 2 {
		t.Errorf("Argo CD wrote %d times and recorded %d events for 2 actions: %v", len(writes), ran, writes)
	}
}

// requireChanged wants Argo CD to have changed the spec of the mesh as often as there were commits: a change that it takes back counts, too.
// After a commit Argo CD may apply objects again that are as they should be, because it compares with what it has seen before. It must not
// create or delete any.
func (g *gitops) requireChanged(t *testing.T, before *meshv1alpha1.MeshInstallation, from time.Time, commits int64) {
	t.Helper()
	time.Sleep(flushDelay)
	writes, dryRuns := g.writesOnHub(t, argocd.Controller, from, time.Now())
	ofMesh := 0
	for _, w := range writes {
		if w.ObjectRef.Resource == "meshinstallations" {
			ofMesh++
		}
		if w.Verb != "patch" {
			t.Errorf("Argo CD wrote: %s", w)
		}
	}
	changes := g.mesh(t).Generation - before.Generation
	g.env.Logf("  hub: the spec of the mesh has changed %d times; Argo CD applied it %d times, and other kinds than its own %d times; %d dry runs",
		changes, ofMesh, len(writes)-ofMesh, dryRuns)
	if changes != commits {
		t.Errorf("the spec of the mesh has changed %d times, want %d: %v", changes, commits, writes)
	}
	if int64(ofMesh) < commits {
		t.Errorf("Argo CD applied the mesh %d times, want at least %d: does the audit log have its name?", ofMesh, commits)
	}
}

// failedTarget commits an image that does not exist. The upgrade is rolled back and the commit stays: nothing is tried again, by the
// operator or by Argo CD, until the commit is reverted.
func (g *gitops) failedTarget(t *testing.T) {
	ctx := t.Context()
	before, mesh := g.upgrades(t), g.mesh(t)
	record, from := g.argo.Record(ctx, meshApp), time.Now()
	var commit string
	g.step(t, "commit an image that does not exist", func() (err error) {
		err = g.fleet.Edit(argocd.ValuesFile, func(s string) string {
			return strings.Replace(s, "      global:\n", "      global:\n        tag: no-such-release\n", 1)
		})
		if err == nil {
			commit, err = g.fleet.Commit(ctx, "Use another image")
		}
		return err
	})
	u := g.awaitPhase(t, before, meshv1alpha1.UpgradeRolledBack)
	g.env.Logf("  rolled back %.0f s after the commit: %s", time.Since(from).Seconds(), u.Status.Message)
	var degraded argocd.State
	g.step(t, "the Application is Synced and Degraded", func() (err error) {
		degraded, err = g.argo.AwaitAt(ctx, meshApp, commit, "Degraded", gitopsDeadline)
		return err
	})
	since := time.Now()
	g.step(t, "nothing happens for "+failedFor.String(), func() error {
		for time.Since(since) < *failedFor {
			time.Sleep(settle)
			s, err := g.argo.State(ctx, meshApp)
			if err != nil {
				return err
			}
			if s.Sync != "Synced" || s.Health != "Degraded" || s.Started != degraded.Started || s.History != degraded.History {
				return fmt.Errorf("the Application went from %+v to %+v", degraded, s)
			}
		}
		return nil
	})
	if tried := harness.NewUpgrades(g.upgrades(t), before); len(tried) != 1 {
		t.Errorf("%d MeshUpgrades came of one commit, want 1", len(tried))
	}
	time.Sleep(flushDelay)
	if writes, dryRuns := g.writesOnHub(t, argocd.Controller, since, time.Now()); len(writes) > 0 || dryRuns == 0 {
		t.Errorf("Argo CD wrote %d times after the rollback and compared %d times, want comparisons only: %v", len(writes), dryRuns, writes)
	}
	g.step(t, "revert the commit", func() (err error) {
		commit, err = g.fleet.Revert(ctx)
		return err
	})
	g.step(t, "the Application is Healthy", func() error {
		_, err := g.argo.AwaitAt(ctx, meshApp, commit, "Healthy", gitopsDeadline)
		return err
	})
	g.requireHealth(t, record, []string{"Progressing", "Degraded", "Healthy"})
	g.requireChanged(t, mesh, from, 2)
	if tried := harness.NewUpgrades(g.upgrades(t), before); len(tried) != 1 {
		t.Errorf("%d MeshUpgrades after the commit was reverted, want 1", len(tried))
	}
}

func (g *gitops) upgrades(t *testing.T) []meshv1alpha1.MeshUpgrade {
	t.Helper()
	all, err := g.env.Upgrades(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// upgrade is the newest record that was not there before.
func (g *gitops) upgrade(t *testing.T, before []meshv1alpha1.MeshUpgrade) *meshv1alpha1.MeshUpgrade {
	t.Helper()
	all := harness.NewUpgrades(g.upgrades(t), before)
	if len(all) == 0 {
		t.Fatal("there is no new MeshUpgrade")
	}
	return &all[len(all)-1]
}

// awaitPhase waits until the upgrade that was not there before is in a phase.
func (g *gitops) awaitPhase(t *testing.T, before []meshv1alpha1.MeshUpgrade, phase meshv1alpha1.UpgradePhase) *meshv1alpha1.MeshUpgrade {
	t.Helper()
	var found *meshv1alpha1.MeshUpgrade
	g.step(t, "the upgrade is "+string(phase), func() (err error) {
		found, err = g.env.AwaitUpgrade(t.Context(), before, upgradeDeadline, []meshv1alpha1.UpgradePhase{phase},
			func(*meshv1alpha1.MeshUpgrade, string) error { return g.argo.RequireRunning() })
		return err
	})
	return found
}

// runAction lets Argo CD run an action on an upgrade, and waits for the health of the Application after it.
func (g *gitops) runAction(ctx context.Context, u *meshv1alpha1.MeshUpgrade, action, health string) error {
	err := harness.Await(ctx, "Argo CD to run the action "+action, gitopsDeadline, func(ctx context.Context) (bool, string, error) {
		err := g.argo.Run(ctx, argocd.Action{
			Application: meshApp, Namespace: u.Namespace, Name: u.Name, Group: meshv1alpha1.GroupVersion.Group,
			Version: meshv1alpha1.GroupVersion.Version, Kind: "MeshUpgrade", Action: action,
		})
		return err == nil, "", err
	})
	if err != nil {
		return err
	}
	_, err = g.argo.Await(ctx, meshApp, "Synced and "+health, gitopsDeadline, func(s argocd.State) bool {
		return s.Sync == "Synced" && s.Health == health
	})
	return err
}

// approval is what an upgrade waits for.
func (g *gitops) approval(ctx context.Context, u *meshv1alpha1.MeshUpgrade) (string, error) {
	list := &meshv1alpha1.MeshApprovalList{}
	if err := g.env.Hub.Client.List(ctx, list, client.InNamespace(u.Namespace)); err != nil {
		return "", fmt.Errorf("list MeshApprovals: %w", err)
	}
	for i := range list.Items {
		if a := &list.Items[i]; a.Spec.UpgradeRef.UID == u.UID && a.Spec.Decision == meshv1alpha1.DecisionPending {
			return a.Name, nil
		}
	}
	return "", fmt.Errorf("no MeshApproval of MeshUpgrade %s is pending", u.Name)
}

// decide sets the decision by kubectl, as the guide does.
func (g *gitops) decide(ctx context.Context, u *meshv1alpha1.MeshUpgrade, more ...string) error {
	name, err := g.approval(ctx, u)
	if err != nil {
		return err
	}
	return g.argo.Kubectl(ctx, append([]string{"-n", u.Namespace, "patch", "meshapproval", name, "--type", "merge",
		"-p", `{"spec":{"decision":"Approved","reason":"CHG-4711"}}`}, more...)...)
}

func (g *gitops) approve(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	return g.decide(ctx, u)
}

// refuseApproval wants the policy to refuse a decision of Argo CD's account, whose role permits everything.
func (g *gitops) refuseApproval(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	err := g.decide(ctx, u, "--as", argocd.Controller, "--as-group", "system:serviceaccounts", "--as-group", "system:authenticated")
	if err == nil || !strings.Contains(err.Error(), "a decision of a person") {
		return fmt.Errorf("want the policy to refuse the decision, got: %w", err)
	}
	g.env.Logf("  refused: %v", err)
	return nil
}
