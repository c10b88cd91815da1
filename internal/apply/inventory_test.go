package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func FuzzReferenceLine(f *testing.F) {
	f.Add("apps", "v1", "Deployment", "istio-system", "istiod-1-29-1")
	f.Add("", "v1", "ConfigMap", "istio-system", "istio")
	f.Add("rbac.authorization.k8s.io", "v1", "ClusterRole", "", "system:istiod")
	f.Add("", "", "", "", "")
	f.Fuzz(func(t *testing.T, group, version, kind, namespace, name string) {
		want := Reference{Group: group, Version: version, Kind: kind, Namespace: namespace, Name: name}
		if strings.ContainsAny(group+version+kind+namespace+name, " \n") {
			// No object of Kubernetes is named so.
			return
		}
		got, err := parseReference(want.line())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}

func TestParseReferenceRefusesDamagedLines(t *testing.T) {
	for _, line := range []string{"", "v1", " v1 ConfigMap ns", " v1 ConfigMap ns name more"} {
		if ref, err := parseReference(line); err == nil {
			t.Errorf("%q is read as %v", line, ref)
		}
	}
}

func TestInventoryIsReadAsItWasWritten(t *testing.T) {
	m := newMember(t)
	for _, want := range [][]Reference{
		{},
		{{Version: "v1", Kind: "ConfigMap", Namespace: namespace, Name: "b"}, {Group: "apps", Version: "v1", Kind: "Deployment", Namespace: namespace, Name: "a"}},
		{{Version: "v1", Kind: "Namespace", Name: "n"}},
	} {
		inv, err := m.applier.Inventory(t.Context(), "gateway")
		if err != nil {
			t.Fatal(err)
		}
		if err := m.applier.writeInventory(t.Context(), inv, want, nil); err != nil {
			t.Fatal(err)
		}
		m.forget()
		if err := m.applier.writeInventory(t.Context(), inv, want, nil); err != nil || len(m.writes) > 0 {
			t.Errorf("the same inventory is written again: %v, %v", m.writes, err)
		}
		got, err := m.applier.Inventory(t.Context(), "gateway")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, append([]Reference{}, got.References...)); diff != "" {
			t.Errorf("references (-want +got):\n%s", diff)
		}
	}
}

func TestUnionAndWithout(t *testing.T) {
	ref := func(version, name string) Reference {
		return Reference{Group: "autoscaling", Version: version, Kind: "HorizontalPodAutoscaler", Namespace: namespace, Name: name}
	}
	cases := map[string]struct{ a, b, wantUnion, wantWithout []Reference }{
		"nothing":                     {},
		"sorted, each once":           {[]Reference{ref("v2", "c"), ref("v2", "a")}, []Reference{ref("v2", "b"), ref("v2", "a")}, []Reference{ref("v2", "a"), ref("v2", "b"), ref("v2", "c")}, []Reference{ref("v2", "c")}},
		"another version of the same": {[]Reference{ref("v1", "a")}, []Reference{ref("v2", "a")}, []Reference{ref("v1", "a"), ref("v2", "a")}, []Reference{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.wantUnion, union(c.a, c.b)); diff != "" {
				t.Errorf("union (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.wantWithout, without(c.a, c.b)); diff != "" {
				t.Errorf("without (-want +got):\n%s", diff)
			}
		})
	}
}

func TestComponentsListsOurInventories(t *testing.T) {
	m := newMember(t,
		object("ConfigMap", inventoryPrefix+"tags", ours()),
		object("ConfigMap", inventoryPrefix+"base", ours()),
		object("ConfigMap", inventoryPrefix+"theirs", labels(map[string]string{meshv1alpha1.LabelInstallation: "other.mesh"})),
		object("ConfigMap", "meshfleet-member", ours()))
	got, err := m.applier.Components(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"base", "tags"}, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

func TestWhatIsAppliedIsInTheInventoryBeforeIt(t *testing.T) {
	m := newMember(t)
	apply(t, m, component(object("ConfigMap", "b"), object("ConfigMap", "a")))
	if want := "create  " + inventoryPrefix + "gateway"; m.writes[0] != want {
		t.Errorf("the first write is %q, want %q; all: %v", m.writes[0], want, m.writes)
	}
	if len(m.writes) != 3 {
		t.Errorf("writes are %v, want the inventory and two objects", m.writes)
	}
}

func TestStagesPutPodsBindingsAndWebhooksLast(t *testing.T) {
	got := stages([]*unstructured.Unstructured{
		object("Deployment", "istiod"), object("RoleBinding", "istiod"), object("MutatingWebhookConfiguration", "tag"),
		object("ConfigMap", "istio"), object("Role", "istiod"), object("Service", "tag"),
	})
	var names [2][]string
	for i := range got {
		for _, o := range got[i] {
			names[i] = append(names[i], o.GetKind())
		}
	}
	want := [2][]string{{"ConfigMap", "Role", "Service"}, {"Deployment", "RoleBinding", "MutatingWebhookConfiguration"}}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

// TestLabelValues reads labels of what the inventory holds and nothing else.
func TestLabelValues(t *testing.T) {
	tagged := func(kind, name, tag string) *unstructured.Unstructured {
		o := object(kind, name)
		o.SetLabels(map[string]string{"istio.io/tag": tag})
		return o
	}
	m := newMember(t)
	apply(t, m, Component{Name: "tags", Objects: []*unstructured.Unstructured{
		tagged("Service", "a", "stable"), tagged("ConfigMap", "a", "stable"), tagged("ConfigMap", "b", "prod"), tagged("ConfigMap", "c", "gone"), object("ConfigMap", "d"),
	}})
	apply(t, m, Component{Name: "other", Objects: []*unstructured.Unstructured{tagged("ConfigMap", "e", "other")}})
	if err := m.Delete(t.Context(), object("ConfigMap", "c")); err != nil {
		t.Fatal(err)
	}
	got, err := m.applier.LabelValues(t.Context(), "tags", "istio.io/tag")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"prod", "stable"}, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}
