//go:build e2e && packaging

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/harness/argocd"
)

// steady watches a mesh that is ready: Argo CD compares again and again, finds no difference, starts nothing and writes nothing of the
// mesh, and the operator writes nothing of the MeshInstallation.
func (g *gitops) steady(t *testing.T) {
	ctx := t.Context()
	g.step(t, "the mesh is ready", func() error { return g.waitReady(ctx) })
	time.Sleep(settle)
	names, err := g.apps(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mesh, before := g.mesh(t), g.states(t, names)
	record := g.argo.Record(ctx, meshApp)
	from := time.Now()
	var after map[string]argocd.State
	compared := map[string]map[string]bool{}
	g.step(t, "nothing happens for "+quiet.String(), func() error {
		for time.Since(from) < *quiet {
			time.Sleep(settle)
			if err := g.argo.RequireRunning(); err != nil {
				return err
			}
			after = g.states(t, names)
			for name, s := range after {
				if compared[name] == nil {
					compared[name] = map[string]bool{}
				}
				compared[name][s.Compared] = true
			}
		}
		return nil
	})
	to := time.Now()
	seen, err := record.Stop()
	if err != nil || !slices.Equal(seen, []string{"Synced/Healthy"}) {
		t.Errorf("the Application was %v (error: %v), want Synced/Healthy only", seen, err)
	}
	for _, name := range names {
		b, a := before[name], after[name]
		if a.Sync != "Synced" || a.Health != "Healthy" || a.History != b.History || a.Started != b.Started || a.Finished != b.Finished {
			t.Errorf("Application %s went from %+v to %+v", name, b, a)
		}
	}
	if now := g.mesh(t); now.ResourceVersion != mesh.ResourceVersion {
		t.Errorf("the MeshInstallation was written: resourceVersion %s, was %s; %+v", now.ResourceVersion, mesh.ResourceVersion, now.ManagedFields)
	}
	g.env.Logf("  Argo CD has compared the mesh at %d times that it reported", len(compared[meshApp]))
	g.requireNoWrites(t, from, to)
}

// requireNoWrites reads the audit logs of all clusters.
func (g *gitops) requireNoWrites(t *testing.T, from, to time.Time) {
	t.Helper()
	time.Sleep(flushDelay)
	for _, identity := range []string{argocd.Controller, argocd.Server} {
		writes, dryRuns := g.writesOnHub(t, identity, from, to)
		g.env.Logf("  hub: %d writes outside of Argo CD's own kinds by %s, %d dry runs", len(writes), identity, dryRuns)
		for _, w := range writes {
			t.Errorf("Argo CD wrote: %s", w)
		}
	}
	for _, cluster := range g.env.Clusters() {
		identity, err := g.env.Identity(t.Context(), cluster)
		if err != nil {
			t.Fatal(err)
		}
		writes, total, err := g.env.Writes(cluster, identity, from, to)
		if err != nil {
			t.Fatal(err)
		}
		reports := len(writes)
		// What it reports of the markers of discovery, which change every few minutes.
		writes = slices.DeleteFunc(writes, func(a harness.AuditEvent) bool {
			return a.ObjectRef.Resource == "meshmembers" && a.ObjectRef.Subresource == "status"
		})
		g.env.Logf("  %s: %d writes by the operator, and %d reports of markers; %d by anybody", cluster, len(writes), reports-len(writes), total)
		if total == 0 {
			t.Errorf("cluster %s: the audit log has nothing of the period, so it proves nothing", cluster)
		}
		for _, w := range writes {
			t.Errorf("cluster %s: the operator wrote: %s", cluster, w)
		}
	}
}

// writesOnHub are the writes of an account of Argo CD outside of Argo CD's own kinds, and the number of its dry runs.
func (g *gitops) writesOnHub(t *testing.T, identity string, from, to time.Time) (writes []harness.AuditEvent, dryRuns int) {
	t.Helper()
	all, total, err := g.env.Writes(harness.HubName, identity, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if total == 0 {
		t.Error("the audit log of the hub has nothing of the period, so it proves nothing")
	}
	for _, w := range all {
		switch {
		case w.IsDryRun():
			dryRuns++
		case w.ObjectRef.APIGroup == "argoproj.io" || w.ObjectRef.Resource == "events":
		default:
			writes = append(writes, w)
		}
	}
	return writes, dryRuns
}

func (g *gitops) mesh(t *testing.T) *meshv1alpha1.MeshInstallation {
	t.Helper()
	m, err := g.env.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (g *gitops) states(t *testing.T, names []string) map[string]argocd.State {
	t.Helper()
	states := map[string]argocd.State{}
	for _, name := range names {
		s, err := g.argo.State(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		states[name] = s
	}
	return states
}

// changedByHand changes a field that is in Git, and one that is not. Self-heal takes back the first. The second stays: with server-side
// apply Argo CD owns only what is in Git.
func (g *gitops) changedByHand(t *testing.T) {
	ctx := t.Context()
	record := g.argo.Record(ctx, meshApp)
	g.patchMesh(t, `[{"op":"replace","path":"/spec/upgrade/waves/0/soak","value":"7s"}]`)
	start := time.Now()
	g.step(t, "a field in Git is taken back", func() error {
		return harness.Await(ctx, "self-heal", gitopsDeadline, func(ctx context.Context) (bool, string, error) {
			m, err := g.env.Installation(ctx)
			if err != nil {
				return false, "", err
			}
			soak := m.Spec.Upgrade.Waves[0].Soak.Duration
			return soak == 5*time.Second, "the soak time is " + soak.String(), nil
		})
	})
	g.env.Logf("  taken back after %.1f s", time.Since(start).Seconds())
	g.step(t, "Argo CD is done", func() error {
		_, err := g.argo.Await(ctx, meshApp, "Synced and Healthy", gitopsDeadline, func(s argocd.State) bool {
			return isWell(s) && s.Operation == "Succeeded"
		})
		return err
	})
	g.patchMesh(t, `[{"op":"add","path":"/spec/upgrade/state","value":"Pause"}]`)
	time.Sleep(time.Minute)
	if state := g.mesh(t).Spec.Upgrade.State; state != meshv1alpha1.UpgradeStatePause {
		t.Errorf("spec.upgrade.state is %s a minute after it was changed by hand, want %s", state, meshv1alpha1.UpgradeStatePause)
	}
	g.patchMesh(t, `[{"op":"replace","path":"/spec/upgrade/state","value":"Run"}]`)
	seen, err := record.Stop()
	g.env.Logf("  the Application was %v (error: %v)", seen, err)
	g.step(t, "the mesh is ready", func() error { return g.waitReady(ctx) })
}

// patchMesh changes the MeshInstallation by kubectl.
func (g *gitops) patchMesh(t *testing.T, patch string) {
	t.Helper()
	if err := g.argo.Kubectl(t.Context(), "-n", g.env.Mesh.Namespace, "patch", "meshinstallation", g.env.Mesh.Name, "--type", "json", "-p", patch); err != nil {
		t.Fatal(err)
	}
}
