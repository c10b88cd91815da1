//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
	"github.com/meshfleet/meshfleet/test/harness"
)

// tagRenamed renames the tag that namespaces name. What restarts there still gets a proxy, the member says who names the tag, and
// the tag goes by itself when nothing does.
func (s *suite) tagRenamed(t *testing.T) {
	ctx := t.Context()
	east := s.env.Cluster("east")
	injector := owned{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "istio-revision-tag-prod"}
	t.Cleanup(func() {
		if err := s.retag(context.WithoutCancel(ctx), east, "prod"); err != nil {
			t.Error(err)
		}
	})
	s.step(t, "rename the tag", func() error {
		return s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.DataPlane.Tags = testutil.Tags("stable") })
	})
	s.step(t, "the member names the namespace", func() error {
		return s.awaitTags(ctx, "east", metav1.ConditionFalse, "Namespace "+harness.DemoNamespace)
	})
	s.step(t, "what restarts has a proxy", func() error { return restartEcho(ctx, east) })
	s.step(t, "relabel the namespace", func() error { return relabelDemo(ctx, east, "stable") })
	s.step(t, "the tag goes by itself", func() error {
		return harness.Await(ctx, injector.String()+" to be gone", time.Minute, func(ctx context.Context) (bool, string, error) {
			exists, err := east.Exists(ctx, injector.apiVersion, injector.kind, injector.namespace, injector.name)
			return !exists, "it exists", err
		})
	})
	s.step(t, "what restarts has a proxy of the new tag", func() error { return restartEcho(ctx, east) })
	s.step(t, "the mesh is ready all the while", func() error { return s.waitReady(ctx) })
}

// retag gives the mesh one tag and the namespace of a member the same, in an order in which neither is ever missing.
func (s *suite) retag(ctx context.Context, c *harness.Cluster, tag string) error {
	if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.DataPlane.Tags = testutil.Tags(tag) }); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	if err := relabelDemo(ctx, c, tag); err != nil {
		return err
	}
	return s.awaitTags(ctx, c.Name, metav1.ConditionTrue, "")
}

// awaitTags waits until a member says of its tags what is wanted, while it is ready.
func (s *suite) awaitTags(ctx context.Context, member string, want metav1.ConditionStatus, text string) error {
	return harness.Await(ctx, "TagsCurrent of "+member+" to be "+string(want), time.Minute, func(ctx context.Context) (bool, string, error) {
		m, err := s.env.MeshMember(ctx, member)
		if err != nil {
			return false, "", err
		}
		c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionTagsCurrent)
		if c == nil || c.Status != want || c.ObservedGeneration != m.Generation || !strings.Contains(c.Message, text) {
			return false, fmt.Sprintf("%+v", c), nil
		}
		return meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReady), "Ready is not True", nil
	})
}

func relabelDemo(ctx context.Context, c *harness.Cluster, tag string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: harness.DemoNamespace}}
	patch := fmt.Sprintf(`{"metadata":{"labels":{"istio.io/rev":%q}}}`, tag)
	return c.Client.Patch(ctx, ns, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// restartEcho restarts a workload and waits until its pods have proxies.
func restartEcho(ctx context.Context, c *harness.Cluster) error {
	d := &appsv1.Deployment{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: harness.DemoNamespace, Name: "echo"}, d); err != nil {
		return err
	}
	if err := c.Restart(ctx, d); err != nil {
		return err
	}
	return c.AwaitInjected(ctx, harness.DemoNamespace)
}
