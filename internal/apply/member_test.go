package apply

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	namespace    = "istio-system"
	installation = "meshfleet-system.shop"
)

// member is a fake member cluster that notes what is asked of it.
type member struct {
	client.Client
	applier *Applier
	// refuse is what server-side apply answers until a merge patch has repaired the object.
	refuse error

	mu     sync.Mutex
	reads  int
	writes []string
}

// newMember is a cluster with the control plane's namespace and the objects given.
func newMember(t *testing.T, objects ...client.Object) *member {
	t.Helper()
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	m := &member{}
	store := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithReturnManagedFields().WithObjects(objects...).Build()
	m.Client = interceptor.NewClient(store, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			m.note(nil)
			return c.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			m.note(o, "create")
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			m.note(o, "update")
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			m.note(o, "delete")
			return c.Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			options := (&client.PatchOptions{}).ApplyOptions(opts)
			switch {
			case p.Type() == types.ApplyPatchType && m.refuse != nil:
				return m.refuse
			case slices.Contains(options.DryRun, metav1.DryRunAll):
				return dryRun(ctx, c, o, p, options)
			case p.Type() == types.MergePatchType && m.refuse == nil:
				return fmt.Errorf("%s is patched other than by server-side apply", o.GetName())
			case p.Type() == types.MergePatchType:
				m.refuse = nil
			}
			m.note(o, string(p.Type()))
			return c.Patch(ctx, o, p, opts...)
		},
	})
	m.restart()
	return m
}

// dryRun applies to a copy of the object: the fake client alone returns what it was sent.
func dryRun(ctx context.Context, c client.Client, o client.Object, p client.Patch, options *client.PatchOptions) error {
	builder := fake.NewClientBuilder().WithScheme(c.Scheme()).WithReturnManagedFields()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), live); err == nil {
		builder = builder.WithObjects(live.DeepCopy())
	} else if client.IgnoreNotFound(err) == nil {
		// The real one says what would be created, still without a version.
		return nil
	}
	if err := builder.Build().Patch(ctx, o, p, client.ForceOwnership, client.FieldOwner(options.FieldManager)); err != nil {
		return err
	}
	o.SetResourceVersion(live.GetResourceVersion())
	return nil
}

// note counts a read, or writes down a write.
func (m *member) note(o client.Object, verb ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o == nil {
		m.reads++
		return
	}
	m.writes = append(m.writes, verb[0]+" "+o.GetObjectKind().GroupVersionKind().Kind+" "+o.GetName())
}

// restart forgets what an operator remembers and what was noted.
func (m *member) restart() {
	m.applier = New(m.Client, m.Client, Owner{Installation: installation, Namespace: namespace})
	m.forget()
}

func (m *member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads, m.writes = 0, nil
}

// has says whether an object exists, and reads it.
func (m *member) has(t *testing.T, o *unstructured.Unstructured) (*unstructured.Unstructured, bool) {
	t.Helper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind())
	err := m.Get(t.Context(), client.ObjectKeyFromObject(o), live)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return live, err == nil
}

type objectOption func(*unstructured.Unstructured)

// object builds one of the control plane's namespace.
func object(kind, name string, options ...objectOption) *unstructured.Unstructured {
	versions := map[string]schema.GroupVersion{
		"Deployment": {Group: "apps", Version: "v1"}, "HorizontalPodAutoscaler": {Group: "autoscaling", Version: "v2"},
		"RoleBinding":                    {Group: "rbac.authorization.k8s.io", Version: "v1"},
		"ValidatingWebhookConfiguration": {Group: "admissionregistration.k8s.io", Version: "v1"},
	}
	gv, ok := versions[kind]
	if !ok {
		gv.Version = "v1"
	}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(gv.WithKind(kind))
	o.SetNamespace(namespace)
	o.SetName(name)
	for _, option := range options {
		option(o)
	}
	return o
}

func field(value any, path ...string) objectOption {
	return func(o *unstructured.Unstructured) {
		if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
			panic("a test's object: " + err.Error())
		}
	}
}

func annotation(key, value string) objectOption { return field(value, "metadata", "annotations", key) }

func labels(l map[string]string) objectOption {
	return func(o *unstructured.Unstructured) { o.SetLabels(l) }
}

func ours() objectOption {
	return labels(map[string]string{meshv1alpha1.LabelInstallation: installation})
}

// ofComponent adds the label of a component.
func ofComponent(name string) objectOption {
	return field(name, "metadata", "labels", meshv1alpha1.LabelComponent)
}

func component(objects ...*unstructured.Unstructured) Component {
	return Component{Name: "gateway", Objects: objects}
}
