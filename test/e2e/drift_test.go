//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
)

// driftDeadline is generous: watches bring objects back within a second or two.
const driftDeadline = time.Minute

// owned names an object that the operator keeps in a member.
type owned struct{ apiVersion, kind, namespace, name string }

func (o owned) String() string { return o.kind + " " + o.name }

func (o owned) get(ctx context.Context, c *harness.Cluster) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(o.apiVersion)
	u.SetKind(o.kind)
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: o.name}, u); err != nil {
		return nil, fmt.Errorf("get %s in cluster %q: %w", o, c.Name, err)
	}
	return u, nil
}

const istioSystem = harness.ControlPlaneNamespace

// drift disturbs objects of the operator in a member and expects them back, and expects an object of somebody else in
// the same namespace to stay as it is.
func (s *suite) drift(t *testing.T) {
	ctx := t.Context()
	east := s.env.Cluster("east")
	foreign := owned{"v1", "ConfigMap", istioSystem, "not-ours"}
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: not-ours\n  namespace: istio-system\ndata:\n  a: b\n"
	if err := east.Apply(ctx, manifest); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := east.Delete(context.WithoutCancel(ctx), manifest); err != nil {
			t.Error(err)
		}
	}()
	before, err := foreign.get(ctx, east)
	if err != nil {
		t.Fatal(err)
	}

	for _, o := range []owned{
		{"networking.istio.io/v1", "Gateway", istioSystem, "cross-network-gateway"},
		{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "", "istio-revision-tag-prod"},
		{"v1", "Secret", istioSystem, "istio-remote-secret-west"},
	} {
		t.Run("deleted "+o.String()+" comes back", func(t *testing.T) {
			s.step(t, "delete "+o.String(), func() error { return deleteAndAwait(t.Context(), s.env, east, o) })
		})
	}
	t.Run("edited Gateway comes back", func(t *testing.T) {
		o := owned{"networking.istio.io/v1", "Gateway", istioSystem, "cross-network-gateway"}
		s.step(t, "edit "+o.String(), func() error {
			return editAndAwait(t.Context(), s.env, east, o, func(u *unstructured.Unstructured) error {
				return unstructured.SetNestedField(u.Object, map[string]any{"istio": "nobody"}, "spec", "selector")
			})
		})
	})
	t.Run("a foreign object is left alone", func(t *testing.T) {
		after, err := foreign.get(t.Context(), east)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before.Object, after.Object); diff != "" {
			t.Errorf("the foreign object has changed (-before +after):\n%s", diff)
		}
	})
	s.step(t, "the mesh is ready again", func() error { return s.waitReady(ctx) })
}

// deleteAndAwait deletes an object and waits for another one of the same name.
func deleteAndAwait(ctx context.Context, env *harness.Env, c *harness.Cluster, o owned) error {
	old, err := o.get(ctx, c)
	if err != nil {
		return err
	}
	if err := c.Client.Delete(ctx, old); err != nil {
		return fmt.Errorf("delete %s: %w", o, err)
	}
	start := time.Now()
	return harness.Await(ctx, o.String()+" to come back", driftDeadline, func(ctx context.Context) (bool, string, error) {
		live, err := o.get(ctx, c)
		if err != nil {
			return false, "", err
		}
		if live.GetUID() == old.GetUID() {
			return false, "the old object still exists", nil
		}
		env.Logf("  %s came back after %s", o, time.Since(start).Round(10*time.Millisecond))
		return true, "", nil
	})
}

// editAndAwait changes an object's spec and waits for it to be as before.
func editAndAwait(ctx context.Context, env *harness.Env, c *harness.Cluster, o owned,
	edit func(*unstructured.Unstructured) error,
) error {
	old, err := o.get(ctx, c)
	if err != nil {
		return err
	}
	changed := old.DeepCopy()
	if err := edit(changed); err != nil {
		return fmt.Errorf("edit %s: %w", o, err)
	}
	if cmp.Equal(old.Object["spec"], changed.Object["spec"]) {
		return errors.New("the edit changes nothing")
	}
	if err := c.Client.Update(ctx, changed); err != nil {
		return fmt.Errorf("edit %s: %w", o, err)
	}
	start := time.Now()
	return harness.Await(ctx, o.String()+" to be as before", driftDeadline, func(ctx context.Context) (bool, string, error) {
		live, err := o.get(ctx, c)
		if err != nil {
			return false, "", err
		}
		if diff := cmp.Diff(old.Object["spec"], live.Object["spec"]); diff != "" {
			return false, diff, nil
		}
		env.Logf("  %s was as before after %s", o, time.Since(start).Round(10*time.Millisecond))
		return true, "", nil
	})
}
