package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"text/template"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldOwner is the field manager of everything that the suites write.
const FieldOwner = "meshfleet-suite"

// Render fills a manifest template.
func Render(manifest string, data any) (string, error) {
	t, err := template.New("manifest").Option("missingkey=error").Parse(manifest)
	if err != nil {
		return "", fmt.Errorf("parse manifest: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("fill manifest: %w", err)
	}
	return out.String(), nil
}

// decode splits a manifest into its objects.
func decode(manifest string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(manifest), 4096)
	var objects []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode manifest: %w", err)
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

// Apply server-side applies a manifest in the cluster. It tries again for a short while when an admission webhook
// does not answer, because istiod may be rolling.
func (c *Cluster) Apply(ctx context.Context, manifest string) error {
	objects, err := decode(manifest)
	if err != nil {
		return err
	}
	for _, u := range objects {
		what := fmt.Sprintf("%s %s to be accepted in cluster %q", u.GetKind(), client.ObjectKeyFromObject(u), c.Name)
		err := Await(ctx, what, time.Minute, func(ctx context.Context) (bool, string, error) {
			err := c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()),
				client.FieldOwner(FieldOwner), client.ForceOwnership)
			if err != nil && isRefusal(err) {
				return false, "", Fatal(err)
			}
			return err == nil, "", err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// isRefusal tells an answer that will stay the same from trouble that passes.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// Delete removes a manifest's objects from the cluster, last first, and waits until they are gone.
func (c *Cluster) Delete(ctx context.Context, manifest string) error {
	objects, err := decode(manifest)
	if err != nil {
		return err
	}
	var errs []error
	for i := len(objects) - 1; i >= 0; i-- {
		if err := c.Remove(ctx, objects[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Remove deletes one object and waits until it is gone.
func (c *Cluster) Remove(ctx context.Context, u *unstructured.Unstructured) error {
	err := c.Client.Delete(ctx, u)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete %s %s in cluster %q: %w", u.GetKind(), client.ObjectKeyFromObject(u), c.Name, err)
	}
	what := fmt.Sprintf("%s %s to be gone from cluster %q", u.GetKind(), client.ObjectKeyFromObject(u), c.Name)
	return Await(ctx, what, 2*time.Minute, func(ctx context.Context) (bool, string, error) {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(u.GroupVersionKind())
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(u), live)
		if isAbsent(err) {
			return true, "", nil
		}
		return false, "it still exists", err
	})
}

// isAbsent holds for an object that does not exist, also because its kind does not.
func isAbsent(err error) bool {
	return apierrors.IsNotFound(err) || meta.IsNoMatchError(err)
}

// Exists tells whether an object of the given kind exists.
func (c *Cluster) Exists(ctx context.Context, apiVersion, kind, namespace, name string) (bool, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u)
	if isAbsent(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get %s %s/%s in cluster %q: %w", kind, namespace, name, c.Name, err)
	}
	return true, nil
}
