//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	third         = "south"
	loadPerSecond = 20
	// removalDeadline covers the removal of a member's mesh: the gateway leaves discovery and drains first.
	removalDeadline = 3 * time.Minute
)

// memberAdded lets a third cluster join while requests flow between the first two, and none of them may fail.
func (s *suite) memberAdded(t *testing.T) {
	ctx := t.Context()
	s.step(t, "bring up "+third, func() error { return s.env.AddCluster(ctx, third) })
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		if err := s.env.AddMember(ctx, third); err != nil {
			return err
		}
		if err := s.waitReady(ctx); err != nil {
			return err
		}
		return s.env.DeployWorkloads(ctx)
	})
	s.step(t, "three members are one mesh", func() error { return traffic.AcrossClusters(ctx, s.env) })
	s.step(t, "nobody gets in without mutual TLS", func() error { return traffic.StrictMTLS(ctx, s.env) })
}

// refuseHub adds the hub without the field that accepts what peers can read then. Admission refuses it, and no token that peers
// hold lists Secrets of the hub.
func (s *suite) refuseHub(ctx context.Context) error {
	err := s.env.AddHub(ctx, "")
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "hubSecrets: ReadableByPeers") {
		return fmt.Errorf("want the hub refused with its cure, got: %w", err)
	}
	return s.requireNoReaders(ctx)
}

// requireNoReaders tries every token in the control plane's namespace of each member at the hub.
func (s *suite) requireNoReaders(ctx context.Context) error {
	for _, m := range s.env.Members() {
		list := &corev1.SecretList{}
		if err := s.env.Cluster(m).Client.List(ctx, list, client.InNamespace(istioSystem)); err != nil {
			return fmt.Errorf("list Secrets of %s: %w", m, err)
		}
		tried := 0
		for i := range list.Items {
			for _, token := range jwt.FindAll(slices.Concat(slices.Collect(maps.Values(list.Items[i].Data))...), -1) {
				config := rest.AnonymousClientConfig(s.env.Hub.Config)
				config.BearerToken = string(token)
				clientset, err := kubernetes.NewForConfig(config)
				if err != nil {
					return err
				}
				_, err = clientset.CoreV1().Secrets(harness.OperatorNamespace).List(ctx, metav1.ListOptions{})
				if !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err) {
					return fmt.Errorf("a token in Secret %s of %s, at the hub: want it refused, got: %w", list.Items[i].Name, m, err)
				}
				tried++
			}
		}
		if tried == 0 {
			return fmt.Errorf("%s holds no tokens, so that nothing is proved", m)
		}
	}
	return nil
}

// jwt is how a token of an account looks, in a kubeconfig or alone.
var jwt = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)

// hubAsMember makes the hub itself a member and takes it out again: the way without a kubeconfig.
func (s *suite) hubAsMember(t *testing.T) {
	ctx := t.Context()
	s.step(t, "the hub is refused", func() error { return s.refuseHub(ctx) })
	s.step(t, "add the hub", func() error { return s.env.AddHub(ctx, meshv1alpha1.HubSecretsReadableByPeers) })
	s.step(t, "wait for the mesh", func() error { return s.waitReady(ctx) })
	s.step(t, "deploy the workloads", func() error { return s.env.DeployWorkloads(ctx) })
	s.step(t, "hub and members are one mesh", func() error { return traffic.AcrossClusters(ctx, s.env) })
	if err := s.env.Hub.Apply(ctx, userRule); err != nil {
		t.Fatal(err)
	}
	s.step(t, "take the hub out", func() error {
		if err := s.env.RemoveMember(ctx, harness.HubName); err != nil {
			return err
		}
		if err := s.env.Hub.RemoveSidecars(ctx); err != nil {
			return err
		}
		if err := s.awaitMemberGone(ctx, harness.HubName); err != nil {
			return err
		}
		return s.waitReady(ctx)
	})
	s.step(t, "its mesh is gone, what users own stays", func() error { return s.requireClean(ctx, s.env.Hub) })
}

// userObjects are what users own in a member: it must survive the removal of the mesh.
var userObjects = []owned{
	{"v1", "Namespace", "", harness.DemoNamespace},
	{"apps/v1", "Deployment", harness.DemoNamespace, "echo"},
	{"v1", "Service", harness.DemoNamespace, "echo"},
	{"networking.istio.io/v1", "DestinationRule", harness.DemoNamespace, "of-a-user"},
	{"security.istio.io/v1", "PeerAuthentication", istioSystem, "default"},
}

// userRule is an Istio object of a user, harmless to everything else.
const userRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: of-a-user
  namespace: demo
spec:
  host: nobody.demo.svc.cluster.local
`

// memberRemoved takes the third member out of the mesh while requests flow. It goes on to serve until its workloads have no
// proxies any more. Then its Istio goes, what users own there stays, and the peers forget it.
func (s *suite) memberRemoved(t *testing.T) {
	ctx := t.Context()
	south := s.env.Cluster(third)
	if err := south.Apply(ctx, userRule); err != nil {
		t.Fatal(err)
	}
	rest := []string{"east", "west"}
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		if err := s.env.RemoveMember(ctx, third); err != nil {
			return err
		}
		if err := s.awaitWorkloads(ctx, third); err != nil {
			return err
		}
		// It serves for as long as it waits.
		time.Sleep(settle)
		return s.awaitWorkloads(ctx, third)
	})
	s.step(t, "its workloads leave the mesh", func() error { return south.RemoveSidecars(ctx) })
	s.underLoad(t, rest, loadPerSecond, func() error {
		if err := s.awaitMemberGone(ctx, third); err != nil {
			return err
		}
		return s.waitReady(ctx)
	})
	s.step(t, "its mesh is gone, what users own stays", func() error { return s.requireClean(ctx, south) })
	s.step(t, "its peers forget it", func() error {
		for _, m := range rest {
			if err := s.awaitForgotten(ctx, m, third); err != nil {
				return err
			}
		}
		return nil
	})
	s.step(t, "the others are one mesh", func() error { return traffic.AcrossClusters(ctx, s.env) })
}

// deleted deletes the MeshInstallation: everything of it goes from members and hub, and nothing else.
func (s *suite) deleted(t *testing.T) {
	ctx := t.Context()
	members := s.env.Members()
	for _, m := range members {
		if err := s.env.Cluster(m).Apply(ctx, userRule); err != nil {
			t.Fatal(err)
		}
	}
	mesh, err := s.env.Installation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.step(t, "the MeshInstallation is protected", func() error { return s.refusedDeletion(ctx, mesh) })
	s.step(t, "delete the MeshInstallation", func() error {
		if err := s.env.PermitDeletion(ctx); err != nil {
			return err
		}
		return s.env.Hub.Client.Delete(ctx, mesh)
	})
	for _, m := range members {
		s.step(t, m+" waits for its workloads", func() error { return s.awaitWorkloads(ctx, m) })
	}
	s.step(t, "it is one mesh until they are gone", func() error { return traffic.AcrossClusters(ctx, s.env) })
	s.step(t, "the workloads leave the mesh", func() error {
		return s.env.EachMember(func(c *harness.Cluster) error { return c.RemoveSidecars(ctx) })
	})
	s.step(t, "the MeshInstallation goes", func() error { return s.env.DeleteMesh(ctx, removalDeadline) })
	for _, m := range members {
		t.Run("member "+m, func(t *testing.T) {
			s.step(t, "clean "+m, func() error { return s.requireClean(t.Context(), s.env.Cluster(m)) })
		})
	}
	t.Run("hub", func(t *testing.T) {
		s.step(t, "clean hub", func() error { return awaitNone(t.Context(), "hub", s.env.OwnedOnHub) })
		for _, m := range members {
			requireExists(t, s.env.Hub, owned{"v1", "Secret", harness.OperatorNamespace, harness.KubeconfigSecretName(m)})
		}
	})
}

// refusedDeletion wants the hub to refuse the deletion of a mesh whose workloads run, with the cure.
func (s *suite) refusedDeletion(ctx context.Context, mesh *meshv1alpha1.MeshInstallation) error {
	err := s.env.Hub.Client.Delete(ctx, mesh.DeepCopy())
	s.env.Logf("  %v", err)
	const fact, cure = "pods with a proxy of this mesh run in", `"deletionProtection":"Disabled"`
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), fact) || !strings.Contains(err.Error(), cure) {
		return fmt.Errorf("want a refusal of the deletion with %q and %s, got: %w", fact, cure, err)
	}
	return nil
}

// awaitWorkloads waits until a member that is to leave says that it waits for pods with a proxy.
func (s *suite) awaitWorkloads(ctx context.Context, member string) error {
	c, err := s.env.WaitCondition(ctx, member, meshv1alpha1.ConditionReady, func(c metav1.Condition) bool {
		return c.Reason == meshv1alpha1.ReasonWaitingForWorkloads
	}, time.Minute)
	s.env.Logf("  %s", c.Message)
	return err
}

// awaitMemberGone waits until the MeshMember of a cluster is gone, which is when its mesh is removed.
func (s *suite) awaitMemberGone(ctx context.Context, member string) error {
	return harness.Await(ctx, fmt.Sprintf("the MeshMember of %q to be gone", member), removalDeadline,
		func(ctx context.Context) (bool, string, error) {
			members, err := s.env.MeshMembers(ctx)
			if err != nil {
				return false, "", err
			}
			for _, m := range members {
				if m.Spec.Cluster == member {
					return false, fmt.Sprintf("it still exists: %+v", m.Status.Conditions), nil
				}
			}
			return true, "", nil
		})
}

// requireClean checks that a former member has nothing of the mesh but the CRDs, and everything of its users.
func (s *suite) requireClean(ctx context.Context, c *harness.Cluster) error {
	if err := s.awaitUnowned(ctx, c); err != nil {
		return err
	}
	for _, gone := range []owned{
		{"v1", "Secret", istioSystem, "cacerts"},
		{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "istio-revision-tag-default"},
		{"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "istiod-default-validator"},
	} {
		exists, err := c.Exists(ctx, gone.apiVersion, gone.kind, gone.namespace, gone.name)
		if err != nil {
			return err
		}
		if exists {
			return fmt.Errorf("%s should be gone from cluster %q", gone, c.Name)
		}
	}
	services := &corev1.ServiceList{}
	if err := c.Client.List(ctx, services, client.InNamespace(istioSystem)); err != nil {
		return err
	}
	for i := range services.Items {
		if name := services.Items[i].Name; strings.HasPrefix(name, "istio-eastwestgateway") {
			return fmt.Errorf("service %s should be gone from cluster %q", name, c.Name)
		}
	}
	for _, stays := range append([]owned{
		{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "virtualservices.networking.istio.io"},
	}, userObjects...) {
		exists, err := c.Exists(ctx, stays.apiVersion, stays.kind, stays.namespace, stays.name)
		if err != nil {
			return err
		}
		if !exists {
			return fmt.Errorf("%s should still be in cluster %q", stays, c.Name)
		}
	}
	return nil
}

// awaitUnowned waits until no object in a former member carries the mesh's label.
func (s *suite) awaitUnowned(ctx context.Context, c *harness.Cluster) error {
	return awaitNone(ctx, c.Name, func(ctx context.Context) ([]harness.Object, error) { return s.env.Owned(ctx, c) })
}

// awaitNone waits until nothing is listed but CRDs, which stay. The garbage collector may still be at work for a moment
// when the operator is done.
func awaitNone(ctx context.Context, cluster string, list func(context.Context) ([]harness.Object, error)) error {
	return harness.Await(ctx, "nothing of the mesh to be left in cluster "+cluster, time.Minute,
		func(ctx context.Context) (bool, string, error) {
			objects, err := list(ctx)
			if err != nil {
				return false, "", err
			}
			var left []string
			for _, o := range objects {
				if !strings.HasPrefix(o.Resource, "customresourcedefinitions") {
					left = append(left, o.String())
				}
			}
			return len(left) == 0, strings.Join(left, ", "), nil
		})
}

// awaitForgotten waits until a member has no remote secret of a former peer and its istiod does not list it.
func (s *suite) awaitForgotten(ctx context.Context, member, former string) error {
	what := fmt.Sprintf("%s to forget %s", member, former)
	return harness.Await(ctx, what, time.Minute, func(ctx context.Context) (bool, string, error) {
		exists, err := s.env.Cluster(member).Exists(ctx, "v1", "Secret", istioSystem, "istio-remote-secret-"+former)
		if err != nil {
			return false, "", err
		}
		clusters, err := s.env.Clusterz(ctx, member)
		if err != nil {
			return false, "", err
		}
		return !exists && !strings.Contains(clusters, former), fmt.Sprintf("remote secret: %v, istiod: %s", exists, clusters), nil
	})
}

// requireExists fails the test when an object is missing.
func requireExists(t *testing.T, c *harness.Cluster, o owned) {
	t.Helper()
	exists, err := c.Exists(t.Context(), o.apiVersion, o.kind, o.namespace, o.name)
	if err != nil {
		t.Fatal(err)
	}
	if !exists {
		t.Errorf("%s should still be in cluster %q", o, c.Name)
	}
}
