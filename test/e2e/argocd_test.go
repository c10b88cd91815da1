//go:build e2e && packaging

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/harness/argocd"
)

var (
	// quiet is how long Argo CD and a mesh that is ready must change nothing.
	quiet = flag.Duration("quiet", 10*time.Minute, "how long TestArgoCD watches a mesh that is ready")
	// failedFor is how long a target that has failed stays in Git.
	failedFor = flag.Duration("failed-for", 3*time.Minute, "how long TestArgoCD leaves a target in Git that has failed")
)

const (
	// gitopsDeadline is far above what Argo CD takes for all that a commit asks for, an installation included.
	gitopsDeadline = 10 * time.Minute

	rootApp, meshApp = "meshfleet", "mesh"
)

// gitops is a mesh that Argo CD keeps as it is in Git.
type gitops struct {
	*suite
	argo  *argocd.ArgoCD
	fleet *argocd.Repository
}

// TestArgoCD follows a mesh that the controllers of Argo CD install from config/samples/gitops and change by commits.
func TestArgoCD(t *testing.T) {
	s := newSuite(t, harness.Options{IstioVersions: []string{newVersion, oldVersion}})
	if s.env.IsAttached() {
		t.Fatal("TestArgoCD needs a lab of its own: unset E2E_ATTACH")
	}
	g := &gitops{suite: s}
	t.Cleanup(func() {
		if g.argo == nil {
			return
		}
		if err := g.argo.Stop(); err != nil {
			t.Error(err)
		}
	})
	if !t.Run("bring up", g.bringUp) || !t.Run("installed in sync waves", g.installed) {
		t.FailNow()
	}
	t.Run("changed by hand", g.changedByHand)
	t.Run("upgraded by a commit", g.upgraded)
	t.Run("target that fails stays in Git", g.failedTarget)
	t.Run("member added by a commit", g.memberAddedByCommit)
	t.Run("mesh removed from Git by mistake", g.removedFromGit)
	t.Run("steady state", g.steady)
}

// bringUp starts the lab and Argo CD by the commands of docs/gitops.md, up to the Application of all Applications.
func (g *gitops) bringUp(t *testing.T) {
	ctx := t.Context()
	s := g.suite
	s.step(t, "bring up the lab", func() error { return s.env.EnsureLab(ctx) })
	s.step(t, "load the operator's image", func() error { return s.env.LoadOperator(ctx) })
	dir := s.env.Path("bin", "argo-cd")
	s.step(t, "make the Git repositories from the sample", func() (err error) {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		g.fleet, err = argocd.NewFleet(ctx, s.env, dir, oldVersion)
		return err
	})
	s.step(t, "take the lab's cert-manager away", func() error { return argocd.RemoveCertManager(ctx, s.env) })
	s.step(t, "start Argo CD", func() (err error) {
		g.argo, err = argocd.Start(ctx, s.env, dir)
		return err
	})
	s.step(t, "define the kinds of External Secrets and Sealed Secrets", func() error { return argocd.DefineSecretKinds(ctx, s.env) })
	s.step(t, "apply settings, policy and projects", func() error {
		for _, args := range [][]string{
			{"-n", argocd.Namespace, "patch", "configmap", "argocd-cm", "--patch-file", s.env.Path("config/argocd/argocd-cm.yaml")},
			{"-n", argocd.Namespace, "patch", "configmap", "argocd-cm", "--patch-file", g.fleet.Path("argocd/argocd-cm.yaml")},
			{"apply", "-f", g.fleet.Path("policies/approvals-by-people.yaml")},
			{"apply", "-f", g.fleet.Path("argocd/projects.yaml")},
		} {
			if err := g.argo.Kubectl(ctx, args...); err != nil {
				return err
			}
		}
		return nil
	})
	s.step(t, "register the members: argocd cluster add", func() error {
		for _, m := range s.env.Members() {
			if err := g.argo.AddCluster(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// installed applies the Application of all Applications, and waits until the mesh is installed.
func (g *gitops) installed(t *testing.T) {
	ctx := t.Context()
	record, waves := g.argo.Record(ctx, meshApp), newWaves(g)
	g.step(t, "apply the Application of all Applications", func() error {
		return g.argo.Kubectl(ctx, "apply", "-f", g.fleet.Path("argocd/root.yaml"))
	})
	waiting := waves.watch(ctx)
	g.step(t, "write the kubeconfigs of the members", func() error {
		for _, m := range g.env.Members() {
			if err := g.argo.JoinMember(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
	g.step(t, "wait for Argo CD", func() error {
		for _, app := range []string{meshApp, rootApp} {
			if _, err := g.argo.Await(ctx, app, "Synced and Healthy", gitopsDeadline, isWell); err != nil {
				return err
			}
		}
		return nil
	})
	g.step(t, "sync waves in order", func() error { return <-waiting })
	g.requireHealth(t, record, []string{"Progressing", "Healthy"}, "Missing", "")
	g.step(t, "all Applications are Synced and Healthy", func() error { return g.allWell(ctx) })
	g.step(t, "the mesh is ready", func() error { return g.waitReady(ctx) })
	g.step(t, "deploy the workloads", func() error { return g.env.DeployWorkloads(ctx) })
}

func isWell(s argocd.State) bool { return s.Sync == "Synced" && s.Health == "Healthy" }

// waves notes when things of the sync waves appear.
type waves struct {
	*gitops
	order []string
}

func newWaves(g *gitops) *waves { return &waves{gitops: g} }

// watch looks until the last wave has begun, and wants each wave to begin when the one before is Healthy.
func (w *waves) watch(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		done <- harness.Await(ctx, "all sync waves to begin", gitopsDeadline, func(ctx context.Context) (bool, string, error) {
			apps := []string{"cert-manager", "meshfleet-operator", meshApp}
			health := map[string]string{}
			// The later ones first: what becomes healthy in between must not look like a mistake.
			for _, app := range slices.Backward(apps) {
				if s, err := w.argo.State(ctx, app); err == nil {
					health[app] = s.Health + "."
				} else if client.IgnoreNotFound(err) != nil {
					return false, "", err
				}
			}
			for i, app := range apps {
				if health[app] == "" || slices.Contains(w.order, app) {
					continue
				}
				w.order = append(w.order, app)
				w.env.Logf("  Application %s exists", app)
				if i > 0 && health[apps[i-1]] != "Healthy." {
					return false, "", harness.Fatal(fmt.Errorf("application %s was made while %s was %q", app, apps[i-1], health[apps[i-1]]))
				}
			}
			return len(w.order) == len(apps), "begun: " + strings.Join(w.order, ", "), nil
		})
	}()
	return done
}

// requireHealth ends a record, and wants the health to have gone through the states given in this order, and to have been nothing else,
// except what is allowed besides.
func (g *gitops) requireHealth(t *testing.T, record *argocd.Recorder, want []string, besides ...string) {
	t.Helper()
	seen, err := record.Stop()
	if err != nil || len(seen) == 0 {
		t.Fatalf("%d states of the Application were seen: %v", len(seen), err)
	}
	var health []string
	for _, s := range seen {
		_, h, _ := strings.Cut(s, "/")
		if len(health) == 0 || health[len(health)-1] != h {
			health = append(health, h)
		}
	}
	g.env.Logf("  health: %s", strings.Join(health, " → "))
	rest := want
	for _, h := range health {
		if !slices.Contains(want, h) && !slices.Contains(besides, h) {
			t.Errorf("the Application was %q, want only %v: %v", h, want, seen)
		}
		if len(rest) > 0 && h == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("the Application was %v, want %v in this order", health, want)
	}
	if last := health[len(health)-1]; last != want[len(want)-1] {
		t.Errorf("the Application is %s at last, want %s", last, want[len(want)-1])
	}
}

// apps lists the names of all Applications.
func (g *gitops) apps(ctx context.Context) ([]string, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("argoproj.io/v1alpha1")
	list.SetKind("ApplicationList")
	if err := g.env.Hub.Client.List(ctx, list, client.InNamespace(argocd.Namespace)); err != nil {
		return nil, fmt.Errorf("list Applications: %w", err)
	}
	var names []string
	for _, item := range list.Items {
		names = append(names, item.GetName())
	}
	slices.Sort(names)
	return names, nil
}

// allWell waits until every Application of the sample is Synced and Healthy.
func (g *gitops) allWell(ctx context.Context) error {
	names, err := g.apps(ctx)
	if err != nil {
		return err
	}
	g.env.Logf("  Applications: %s", strings.Join(names, ", "))
	// The Applications of the sample, and two of each member.
	if want := 4 + 2*len(g.env.Members()); len(names) != want {
		return fmt.Errorf("there are %d Applications, want %d", len(names), want)
	}
	for _, name := range names {
		if _, err := g.argo.Await(ctx, name, "Synced and Healthy", gitopsDeadline, isWell); err != nil {
			return err
		}
	}
	return nil
}
