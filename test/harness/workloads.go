package harness

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// DemoNamespace holds the workloads that are part of the mesh.
	DemoNamespace = "demo"
	// PlainNamespace holds workloads outside the mesh.
	PlainNamespace = "plain"

	workloadDeadline = 3 * time.Minute
	// restartedAt is what `kubectl rollout restart` sets.
	restartedAt = "kubectl.kubernetes.io/restartedAt"
)

var (
	//go:embed manifests/demo.yaml
	demoManifest string
	//go:embed manifests/plain.yaml
	plainManifest string
	//go:embed manifests/strict.yaml
	strictManifest string
)

// workloadValues fill the manifests.
type workloadValues struct {
	Cluster string
	Version string
	Members []string
	Clients []string
}

// VersionOf is the `version` label of a member's echo: v1 in the first member, v2 in the second and so on.
func (e *Env) VersionOf(member string) string {
	return fmt.Sprintf("v%d", slices.Index(e.Members(), member)+1)
}

// DeployWorkloads puts the demo workloads into every member: echo, two clients with identities of their own, a
// client outside the mesh, and STRICT mutual TLS for the whole mesh. It returns when all run and those of the mesh
// have a proxy. Pods that are older than the mesh are restarted, because they carry no proxy of it.
func (e *Env) DeployWorkloads(ctx context.Context) error {
	mesh, err := e.Installation(ctx)
	if err != nil {
		return err
	}
	return e.EachMember(func(c *Cluster) error {
		values := workloadValues{
			Cluster: c.Name,
			Version: e.VersionOf(c.Name),
			Members: e.Members(),
			Clients: []string{clientLoad, clientGuest},
		}
		for _, m := range []string{strictManifest, demoManifest, plainManifest} {
			manifest, err := Render(m, values)
			if err != nil {
				return err
			}
			if err := c.Apply(ctx, manifest); err != nil {
				return err
			}
		}
		if err := c.restartOlderThan(ctx, DemoNamespace, mesh.CreationTimestamp); err != nil {
			return err
		}
		if err := c.awaitWorkloads(ctx, PlainNamespace, false); err != nil {
			return err
		}
		return c.awaitWorkloads(ctx, DemoNamespace, true)
	})
}

// EachMember runs a step in all members at the same time and joins the errors.
func (e *Env) EachMember(run func(*Cluster) error) error {
	members := e.Members()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, name := range members {
		wg.Go(func() {
			if err := run(e.Cluster(name)); err != nil {
				errs[i] = fmt.Errorf("member %q: %w", name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// restartOlderThan restarts the Deployments of a namespace that have pods from before the given time.
func (c *Cluster) restartOlderThan(ctx context.Context, namespace string, than metav1.Time) error {
	deployments := &appsv1.DeploymentList{}
	if err := c.Client.List(ctx, deployments, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list Deployments of %q: %w", namespace, err)
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		pods, err := c.podsOf(ctx, d)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.CreationTimestamp.Before(&than) }) {
			continue
		}
		if err := c.Restart(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// Restart replaces a Deployment's pods, as `kubectl rollout restart` does.
func (c *Cluster) Restart(ctx context.Context, d *appsv1.Deployment) error {
	patch := client.MergeFrom(d.DeepCopy())
	if d.Spec.Template.Annotations == nil {
		d.Spec.Template.Annotations = map[string]string{}
	}
	d.Spec.Template.Annotations[restartedAt] = time.Now().Format(time.RFC3339)
	if err := c.Client.Patch(ctx, d, patch); err != nil {
		return fmt.Errorf("restart Deployment %s: %w", client.ObjectKeyFromObject(d), err)
	}
	return nil
}

func (c *Cluster) podsOf(ctx context.Context, d *appsv1.Deployment) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	err := c.Client.List(ctx, pods, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels))
	if err != nil {
		return nil, fmt.Errorf("list pods of Deployment %s: %w", client.ObjectKeyFromObject(d), err)
	}
	return pods.Items, nil
}

// AwaitInjected waits for every Deployment of a namespace to be rolled out with proxies.
func (c *Cluster) AwaitInjected(ctx context.Context, namespace string) error {
	return c.awaitWorkloads(ctx, namespace, true)
}

// awaitWorkloads waits for every Deployment of a namespace to be rolled out, and checks that its pods have a proxy
// or have none.
func (c *Cluster) awaitWorkloads(ctx context.Context, namespace string, wantProxy bool) error {
	what := fmt.Sprintf("the workloads of namespace %q in cluster %q", namespace, c.Name)
	return Await(ctx, what, workloadDeadline, func(ctx context.Context) (bool, string, error) {
		deployments := &appsv1.DeploymentList{}
		if err := c.Client.List(ctx, deployments, client.InNamespace(namespace)); err != nil {
			return false, "", err
		}
		for i := range deployments.Items {
			d := &deployments.Items[i]
			if done, seen := rolledOut(d); !done {
				return false, d.Name + ": " + seen + "; " + c.podStates(ctx, namespace), nil
			}
			pods, err := c.podsOf(ctx, d)
			if err != nil {
				return false, "", err
			}
			for _, p := range pods {
				if p.DeletionTimestamp == nil && (InjectedRevision(&p) != "") != wantProxy {
					return false, "", Fatal(fmt.Errorf("pod %s/%s: want proxy %v, but its injected revision is %q",
						p.Namespace, p.Name, wantProxy, InjectedRevision(&p)))
				}
			}
		}
		return len(deployments.Items) > 0, "no Deployments yet", nil
	})
}

// RemoveSidecars restarts the demo workloads of a cluster without proxies, as one does before it leaves the mesh.
func (c *Cluster) RemoveSidecars(ctx context.Context) error {
	ns := &corev1.Namespace{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: DemoNamespace}, ns); err != nil {
		return fmt.Errorf("read namespace %q: %w", DemoNamespace, err)
	}
	patch := client.MergeFrom(ns.DeepCopy())
	delete(ns.Labels, "istio.io/rev")
	if err := c.Client.Patch(ctx, ns, patch); err != nil {
		return fmt.Errorf("take the label off namespace %q: %w", DemoNamespace, err)
	}
	deployments := &appsv1.DeploymentList{}
	if err := c.Client.List(ctx, deployments, client.InNamespace(DemoNamespace)); err != nil {
		return fmt.Errorf("list Deployments of %q: %w", DemoNamespace, err)
	}
	for i := range deployments.Items {
		if err := c.Restart(ctx, &deployments.Items[i]); err != nil {
			return err
		}
	}
	return c.awaitWorkloads(ctx, DemoNamespace, false)
}

// InjectedRevision is the revision whose istiod gave the pod its proxy, or empty.
func InjectedRevision(p *corev1.Pod) string {
	return p.Annotations["istio.io/rev"]
}

// DeleteWorkloads removes what DeployWorkloads has put into a cluster.
func (c *Cluster) DeleteWorkloads(ctx context.Context) error {
	for _, name := range []string{DemoNamespace, PlainNamespace} {
		ns := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", name)
		if err := c.Delete(ctx, ns); err != nil {
			return err
		}
	}
	return nil
}
