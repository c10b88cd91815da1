package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// CreateMesh creates the MeshInstallation of the sample with the lab's values, changed by edit.
func (e *Env) CreateMesh(ctx context.Context, edit func(*meshv1alpha1.MeshInstallation)) error {
	manifest, err := e.Kubectl(ctx, HubName, "kustomize", e.Path(MeshOverlay))
	if err != nil {
		return err
	}
	mesh := &meshv1alpha1.MeshInstallation{}
	if err := yaml.UnmarshalStrict([]byte(manifest), mesh); err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	edit(mesh)
	if err := e.Hub.Client.Create(ctx, mesh); err != nil {
		return fmt.Errorf("create MeshInstallation %s: %w", e.Mesh, err)
	}
	return nil
}

// MemberByKubeconfig is a member as JoinMember has prepared it.
func MemberByKubeconfig(name string, labels map[string]string) meshv1alpha1.Member {
	return meshv1alpha1.Member{Name: name, Labels: labels, ClusterRef: meshv1alpha1.ClusterRef{
		KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: KubeconfigSecretName(name), Key: KubeconfigSecretKey},
	}}
}

// SetValue sets one value of the control planes' charts. An empty value takes it away, with the maps that become empty by
// that: values that are written differently are another target.
func SetValue(m *meshv1alpha1.MeshInstallation, value any, path ...string) error {
	values := map[string]any{}
	if v := m.Spec.ControlPlane.Values; v != nil {
		if err := json.Unmarshal(v.Raw, &values); err != nil {
			return fmt.Errorf("read the values: %w", err)
		}
	}
	setValue(values, value, path)
	raw, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("write the values: %w", err)
	}
	m.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: raw}
	return nil
}

func setValue(values map[string]any, value any, path []string) {
	key := path[0]
	if len(path) > 1 {
		inner, ok := values[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
		}
		setValue(inner, value, path[1:])
		if value = inner; len(inner) == 0 {
			value = ""
		}
	}
	if value == "" {
		delete(values, key)
		return
	}
	values[key] = value
}

// Upgrades reads the records of upgrades, oldest first.
func (e *Env) Upgrades(ctx context.Context) ([]meshv1alpha1.MeshUpgrade, error) {
	list := &meshv1alpha1.MeshUpgradeList{}
	if err := e.Hub.Client.List(ctx, list, client.InNamespace(e.Mesh.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: e.Mesh.Name}); err != nil {
		return nil, fmt.Errorf("list MeshUpgrades: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b meshv1alpha1.MeshUpgrade) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return list.Items, nil
}

// NewUpgrades are the records that were not there before, oldest first. Their number says nothing: history is bounded.
func NewUpgrades(all, before []meshv1alpha1.MeshUpgrade) []meshv1alpha1.MeshUpgrade {
	return slices.DeleteFunc(slices.Clone(all), func(u meshv1alpha1.MeshUpgrade) bool {
		return slices.ContainsFunc(before, func(b meshv1alpha1.MeshUpgrade) bool { return b.UID == u.UID })
	})
}

// AwaitUpgrade waits until a record that is not in before reaches one of the phases, or ends, and returns it. It tells
// of each step that is seen. The deadline is of the time without a step that was not seen before.
func (e *Env) AwaitUpgrade(ctx context.Context, before []meshv1alpha1.MeshUpgrade, deadline time.Duration, phases []meshv1alpha1.UpgradePhase,
	step func(u *meshv1alpha1.MeshUpgrade, name string) error,
) (*meshv1alpha1.MeshUpgrade, error) {
	var found *meshv1alpha1.MeshUpgrade
	last, steps := "", map[string]bool{}
	err := AwaitProgress(ctx, fmt.Sprintf("an upgrade to be one of %v", phases), deadline, func(ctx context.Context, progressed func()) (bool, string, error) {
		all, err := e.Upgrades(ctx)
		if err != nil {
			return false, "", err
		}
		if all = NewUpgrades(all, before); len(all) == 0 {
			return false, "no MeshUpgrade yet", nil
		}
		found = &all[len(all)-1]
		members, err := e.MeshMembers(ctx)
		if err != nil {
			return false, "", err
		}
		if at := position(found, members); at != last {
			if last = at; !steps[at] {
				steps[at] = true
				progressed()
			}
			e.Logf("  %s", at)
			if err := step(found, at); err != nil {
				return false, "", Fatal(err)
			}
		}
		if slices.Contains(phases, found.Status.Phase) {
			return true, "", nil
		}
		if found.Status.Phase.IsFinished() {
			return false, "", Fatal(fmt.Errorf("MeshUpgrade %s is %s: %s", found.Name, found.Status.Phase, found.Status.Message))
		}
		return false, fmt.Sprintf("%s: %s", found.Status.Phase, found.Status.Message), nil
	})
	return found, err
}

// position says in one line where an upgrade is, and where each member of it.
func position(u *meshv1alpha1.MeshUpgrade, members []meshv1alpha1.MeshMember) string {
	if u.Status.Phase == "" {
		return "planned"
	}
	parts := []string{string(u.Status.Phase), "wave " + u.Status.Wave}
	for i := range members {
		if st := members[i].Status.Rollout; st != nil && st.Upgrade == u.Name {
			parts = append(parts, fmt.Sprintf("%s %s %s", members[i].Spec.Cluster, st.Stage, st.State))
		}
	}
	return strings.Join(parts, ", ")
}

// Approve answers every question of an upgrade with yes.
func (e *Env) Approve(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	list := &meshv1alpha1.MeshApprovalList{}
	if err := e.Hub.Client.List(ctx, list, client.InNamespace(u.Namespace)); err != nil {
		return fmt.Errorf("list MeshApprovals: %w", err)
	}
	for i := range list.Items {
		a := &list.Items[i]
		if a.Spec.UpgradeRef.UID != u.UID || a.Spec.Decision != meshv1alpha1.DecisionPending {
			continue
		}
		patch := client.MergeFrom(a.DeepCopy())
		a.Spec.Decision = meshv1alpha1.DecisionApproved
		if err := e.Hub.Client.Patch(ctx, a, patch); err != nil {
			return fmt.Errorf("approve %q: %w", a.Name, err)
		}
	}
	return nil
}

// retireDeadline is far above what the removal of an unused revision takes.
const retireDeadline = 3 * time.Minute

// RequireRevision checks that a member runs one revision and nothing of another: its istiod, its gateway and the proxies
// of all pods that stay.
func (e *Env) RequireRevision(ctx context.Context, member, revision string) error {
	c := e.Cluster(member)
	deployments := &appsv1.DeploymentList{}
	if err := c.Client.List(ctx, deployments, client.InNamespace(ControlPlaneNamespace)); err != nil {
		return fmt.Errorf("list Deployments of %q: %w", member, err)
	}
	var names []string
	for _, d := range deployments.Items {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	if want := []string{"istio-eastwestgateway-" + revision, "istiod-" + revision}; !slices.Equal(names, want) {
		return fmt.Errorf("member %q has the Deployments %v, want %v", member, names, want)
	}
	pods := &corev1.PodList{}
	if err := c.Client.List(ctx, pods, client.InNamespace(DemoNamespace)); err != nil {
		return fmt.Errorf("list pods of %q: %w", member, err)
	}
	seen := 0
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.DeletionTimestamp != nil {
			continue
		}
		seen++
		if got := InjectedRevision(p); got != revision {
			return fmt.Errorf("pod %s in member %q has a proxy of revision %q, want %q", p.Name, member, got, revision)
		}
	}
	if seen == 0 {
		return fmt.Errorf("member %q has no pods in namespace %q", member, DemoNamespace)
	}
	return nil
}

// AwaitRevision waits until RequireRevision holds: what is not used any more goes after the end of an upgrade.
func (e *Env) AwaitRevision(ctx context.Context, member, revision string) error {
	return Await(ctx, member+" to run "+revision+" only", retireDeadline, func(ctx context.Context) (bool, string, error) {
		err := e.RequireRevision(ctx, member, revision)
		return err == nil, "", err
	})
}

// AwaitRetired waits until every member has taken note of the end of an upgrade, and has removed the revisions that nothing
// uses any more.
func (e *Env) AwaitRetired(ctx context.Context) error {
	return Await(ctx, "every unused revision to be removed", retireDeadline, func(ctx context.Context) (bool, string, error) {
		members, err := e.MeshMembers(ctx)
		if err != nil {
			return false, "", err
		}
		for i := range members {
			m := &members[i]
			if m.Status.ObservedGeneration != m.Generation || m.Status.Rollout != nil {
				return false, m.Spec.Cluster + " has not seen its last work order", nil
			}
			for _, r := range m.Status.Retiring {
				if r.Users.Count == 0 {
					return false, m.Spec.Cluster + " removes " + r.Name, nil
				}
			}
		}
		return true, "", nil
	})
}

// RevisionOf is the name of the first revision of a version.
func RevisionOf(version string) string { return strings.ReplaceAll(version, ".", "-") }
