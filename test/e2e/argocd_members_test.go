//go:build e2e && packaging

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness/argocd"
)

// memberAddedByCommit adds a third member as the guide does: its cluster to Argo CD, with the label for which an ApplicationSet looks,
// and a directory and an entry of the mesh to Git, for which the other ApplicationSet looks.
func (g *gitops) memberAddedByCommit(t *testing.T) {
	ctx := t.Context()
	g.step(t, "bring up "+third, func() error { return g.env.AddCluster(ctx, third) })
	g.step(t, "register "+third+": argocd cluster add", func() error { return g.argo.AddCluster(ctx, third) })
	g.step(t, "the ApplicationSet installs the permissions", func() error {
		_, err := g.argo.Await(ctx, "meshfleet-permissions-"+third, "Synced and Healthy", gitopsDeadline, isWell)
		return err
	})
	record, from := g.argo.Record(ctx, meshApp), time.Now()
	var commit string
	g.step(t, "commit the member", func() (err error) {
		if err := g.fleet.Copy(g.fleet.Path("members/east"), "members/"+third); err != nil {
			return err
		}
		if err := g.fleet.Edit("members/"+third+"/external-secret.yaml", func(s string) string { return strings.ReplaceAll(s, "east", third) }); err != nil {
			return err
		}
		if err := g.fleet.Edit("members/kustomization.yaml", func(s string) string { return s + "- " + third + "\n" }); err != nil {
			return err
		}
		entry := fmt.Sprintf("  members:\n  - name: %[1]s\n    clusterRef:\n      kubeconfigSecret:\n        name: %[1]s-kubeconfig\n", third)
		if err := g.fleet.Edit(argocd.MeshFile, func(s string) string { return strings.Replace(s, "  members:\n", entry, 1) }); err != nil {
			return err
		}
		commit, err = g.fleet.Commit(ctx, "Add "+third)
		return err
	})
	g.step(t, "write the kubeconfig of "+third, func() error { return g.argo.JoinMember(ctx, third) })
	g.step(t, "the Application is Healthy", func() error {
		_, err := g.argo.AwaitAt(ctx, meshApp, commit, "Healthy", gitopsDeadline)
		return err
	})
	g.env.Logf("  three members are ready %.0f s after the commit", time.Since(from).Seconds())
	g.requireHealth(t, record, []string{"Progressing", "Healthy"})
	g.env.NoteMember(third)
	g.requireMembers(t, "east", third, "west")
	g.step(t, "all Applications are Synced and Healthy", func() error { return g.allWell(ctx) })
}

// requireMembers wants the mesh to have these members.
func (g *gitops) requireMembers(t *testing.T, want ...string) {
	t.Helper()
	members, err := g.env.MeshMembers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range members {
		got = append(got, members[i].Spec.Cluster)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the mesh has the members %v, want %v", got, want)
	}
}

// noObjects is what kustomize refuses to build.
const noObjects = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"

// removedFromGit takes the MeshInstallation out of Git, first as the only object and then in exchange for another one. Argo CD does not
// delete it: it cannot build a directory without objects, the annotation of the sample makes a sync wait for a person, and when a person
// confirms, the mesh is protected.
func (g *gitops) removedFromGit(t *testing.T) {
	ctx := t.Context()
	mesh, from := g.mesh(t), time.Now()
	g.step(t, "commit a mesh without objects", func() error { return g.commitMesh(ctx, noObjects) })
	g.step(t, "Argo CD cannot compare", func() error {
		s, err := g.argo.Await(ctx, meshApp, "in error", gitopsDeadline, func(s argocd.State) bool {
			return strings.Contains(strings.Join(s.Conditions, " "), "ComparisonError")
		})
		g.env.Logf("  %s", s)
		return err
	})
	g.step(t, "commit another object in place of the MeshInstallation", func() error {
		if err := g.fleet.Copy(g.fleet.Path("members/east"), "mesh/other"); err != nil {
			return err
		}
		if err := g.fleet.Edit("mesh/other/external-secret.yaml", func(s string) string { return strings.ReplaceAll(s, "east", "other") }); err != nil {
			return err
		}
		return g.commitMesh(ctx, noObjects+"resources:\n- other\n")
	})
	g.step(t, "the sync waits for a person", func() error {
		s, err := g.argo.Await(ctx, meshApp, "waiting for a confirmation", gitopsDeadline, func(s argocd.State) bool {
			return s.Operation == "Running" && strings.Contains(s.Message, "Waiting for pruning confirmation of") &&
				strings.Contains(s.Message, "MeshInstallation")
		})
		g.env.Logf("  %s", s)
		return err
	})
	time.Sleep(time.Minute)
	g.requireSameMesh(t, mesh)
	g.confirmedByMistake(t)
	g.requireSameMesh(t, mesh)
	var commit string
	g.step(t, "take both commits back", func() (err error) {
		if err := g.fleet.Write("mesh/kustomization.yaml", noObjects+"resources:\n- meshinstallation.yaml\npatches:\n- path: lab.yaml\n"); err != nil {
			return err
		}
		if commit, err = g.fleet.Commit(ctx, "Bring the mesh back"); err != nil {
			return err
		}
		return g.argo.Terminate(ctx, meshApp)
	})
	g.step(t, "the Application is Synced and Healthy", func() error {
		_, err := g.argo.Await(ctx, meshApp, "Synced and Healthy", gitopsDeadline, func(s argocd.State) bool {
			return isWell(s) && s.Revision == commit
		})
		return err
	})
	g.requireSameMesh(t, mesh)
	g.step(t, "the mesh is ready", func() error { return g.waitReady(ctx) })
	writes, _ := g.writesOnHub(t, argocd.Controller, from, time.Now())
	tried := 0
	for _, w := range writes {
		if w.Verb != "delete" || w.ObjectRef.Resource != "meshinstallations" {
			continue
		}
		if tried++; w.ResponseStatus.Code < 400 {
			t.Errorf("Argo CD deleted: %s", w)
		}
	}
	if tried == 0 {
		t.Error("Argo CD has never tried to delete the mesh, so that nothing shows that it is protected")
	}
}

// confirmedByMistake confirms the deletion for which the sync waits, as `argocd app confirm-deletion` does. Admission refuses it, and the
// Application shows why. The sync goes on to be tried.
func (g *gitops) confirmedByMistake(t *testing.T) {
	ctx := t.Context()
	g.step(t, "confirm the deletion", func() error { return g.argo.ConfirmDeletion(ctx, meshApp) })
	g.step(t, "the deletion is refused", func() error {
		s, err := g.argo.Await(ctx, meshApp, "refused the deletion", gitopsDeadline, func(s argocd.State) bool {
			return strings.Contains(s.Message, "spec.deletionProtection")
		})
		g.env.Logf("  %s", s)
		return err
	})
}

// commitMesh commits another kustomization of the mesh.
func (g *gitops) commitMesh(ctx context.Context, kustomization string) error {
	if err := g.fleet.Write("mesh/kustomization.yaml", kustomization); err != nil {
		return err
	}
	_, err := g.fleet.Commit(ctx, "Change what the mesh consists of")
	return err
}

// requireSameMesh wants the MeshInstallation to be the same object, which nobody deletes, with the same spec.
func (g *gitops) requireSameMesh(t *testing.T, before *meshv1alpha1.MeshInstallation) {
	t.Helper()
	now := g.mesh(t)
	if now.UID != before.UID || now.DeletionTimestamp != nil || now.Generation != before.Generation {
		t.Errorf("the MeshInstallation is another one, or is deleted, or has another spec: %+v", now.ObjectMeta)
	}
}
