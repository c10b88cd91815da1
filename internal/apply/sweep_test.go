package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var (
	webhookKind = schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"}
	crdKind     = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	settings    = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	absent      = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "GatewayClass"}
)

// mapped gives a fake client the scopes of kinds.
type mapped struct{ client.Client }

func (mapped) RESTMapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(webhookKind, meta.RESTScopeRoot)
	m.Add(crdKind, meta.RESTScopeRoot)
	m.Add(settings, meta.RESTScopeNamespace)
	return m
}

// clusterWide builds an object without a namespace.
func clusterWide(name string, l map[string]string, options ...objectOption) *unstructured.Unstructured {
	return object("ValidatingWebhookConfiguration", name, append([]objectOption{func(o *unstructured.Unstructured) { o.SetNamespace("") }, labels(l)}, options...)...)
}

// swept are the labels of an object that Sweep deletes, with changes.
func swept(change ...string) map[string]string {
	l := map[string]string{managedBy: fieldManager, meshv1alpha1.LabelInstallation: installation, meshv1alpha1.LabelComponent: "tags", meshv1alpha1.LabelOrigin: "hub"}
	for i := 0; i < len(change); i += 2 {
		l[change[i]] = change[i+1]
	}
	return l
}

// TestSweep deletes what this installation of this hub has left, and nothing of others.
func TestSweep(t *testing.T) {
	cases := map[string]struct {
		live *unstructured.Unstructured
		// wantStays is true for what is not to be touched.
		wantStays bool
	}{
		"what no inventory lists":                              {clusterWide("w", swept()), false},
		"that of a component of a newer release":               {clusterWide("w", swept(meshv1alpha1.LabelComponent, "unknown")), false},
		"that of another mesh":                                 {clusterWide("w", swept(meshv1alpha1.LabelInstallation, "meshfleet-system.other")), true},
		"that of the mesh of that name of another hub":         {clusterWide("w", swept(meshv1alpha1.LabelOrigin, "other-hub")), true},
		"of which it is not known to which hub it belongs":     {clusterWide("w", swept(meshv1alpha1.LabelOrigin, "")), true},
		"what has no label of the operator but that of a mesh": {clusterWide("w", swept(managedBy, "Helm")), true},
		"what is in a namespace":                               {object("ConfigMap", "w", labels(swept())), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t, c.live)
			m.applier = New(mapped{m.Client}, m.Client, Owner{Installation: installation, Namespace: namespace, Origin: "hub"})
			gone, err := m.applier.Sweep(t.Context(), []schema.GroupVersionKind{webhookKind, crdKind, settings, absent})
			if err != nil || !gone {
				t.Fatalf("gone %v, %v", gone, err)
			}
			if _, stays := m.has(t, c.live); stays != c.wantStays {
				t.Errorf("it stays: %v, want %v", stays, c.wantStays)
			}
		})
	}
}

func TestSweepWaitsForWhatIsHeld(t *testing.T) {
	held := clusterWide("w", swept(), func(o *unstructured.Unstructured) { o.SetFinalizers([]string{"example.com/held"}) })
	m := newMember(t, held)
	m.applier = New(mapped{m.Client}, m.Client, Owner{Installation: installation, Namespace: namespace, Origin: "hub"})
	for range 2 {
		if gone, err := m.applier.Sweep(t.Context(), []schema.GroupVersionKind{webhookKind}); gone || err != nil {
			t.Errorf("gone %v, %v, want it to wait", gone, err)
		}
	}
	if diff := cmp.Diff([]string{"delete ValidatingWebhookConfiguration w"}, m.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// TestSweepNeedsAnOrigin keeps objects of the same name of a mesh on another hub.
func TestSweepNeedsAnOrigin(t *testing.T) {
	m := newMember(t, clusterWide("w", swept()))
	if gone, err := m.applier.Sweep(t.Context(), []schema.GroupVersionKind{webhookKind}); gone || err == nil || !strings.Contains(err.Error(), "origin") {
		t.Errorf("gone %v, %v, want an error", gone, err)
	}
}

// TestOriginIsOnClusterScopedObjectsOnly wants the label where Sweep looks, also after the credential changed, and no other object changed.
func TestOriginIsOnClusterScopedObjectsOnly(t *testing.T) {
	m := newMember(t)
	m.applier.Identify("hub")
	m.applier = m.applier.Over(m.Client, m.Client)
	wide, local := clusterWide("w", nil), object("ConfigMap", "settings")
	apply(t, m, component(wide, local))
	if live, _ := m.has(t, wide); live.GetLabels()[meshv1alpha1.LabelOrigin] != "hub" {
		t.Errorf("labels of the cluster-scoped object: %v", live.GetLabels())
	}
	if live, _ := m.has(t, local); live.GetLabels()[meshv1alpha1.LabelOrigin] != "" {
		t.Errorf("labels of the object in a namespace: %v", live.GetLabels())
	}
}

// TestPruningLeavesWhatMovedToAnotherComponent applies an object as a part of another component than before: the former one no longer wants it,
// and must not delete it.
func TestPruningLeavesWhatMovedToAnotherComponent(t *testing.T) {
	m := newMember(t)
	moved, stays := object("ConfigMap", "moved"), object("ConfigMap", "stays")
	apply(t, m, component(moved, stays))
	apply(t, m, Component{Name: "tags", Objects: []*unstructured.Unstructured{moved}})
	apply(t, m, component(stays))
	if _, there := m.has(t, moved); !there {
		t.Error("pruning of the former component deleted it")
	}
	if gone, err := m.applier.Delete(t.Context(), "gateway"); !gone || err != nil {
		t.Errorf("the former component is gone: %v, %v", gone, err)
	}
	if _, there := m.has(t, moved); !there {
		t.Error("deletion of the former component deleted it")
	}
}
