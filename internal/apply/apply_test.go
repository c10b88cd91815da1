package apply

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func apply(t *testing.T, m *member, c Component) []string {
	t.Helper()
	wrote, err := m.applier.Apply(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return wrote
}

func TestApplyCreatesAndThenWritesNothing(t *testing.T) {
	m := newMember(t)
	c := component(object("Service", "gateway", field("LoadBalancer", "spec", "type")), object("ConfigMap", "settings"))
	want := []string{"created ConfigMap istio-system/settings", "created Service istio-system/gateway"}
	if diff := cmp.Diff(want, apply(t, m, c)); diff != "" {
		t.Errorf("wrote (-want +got):\n%s", diff)
	}
	live, ok := m.has(t, c.Objects[0])
	wantLabels := map[string]string{
		managedBy: fieldManager, meshv1alpha1.LabelInstallation: installation, meshv1alpha1.LabelComponent: "gateway",
	}
	if diff := cmp.Diff(wantLabels, live.GetLabels()); !ok || diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	for _, when := range []string{"at once", "after a restart", "when what it found is remembered"} {
		if when == "after a restart" {
			m.restart()
		}
		m.forget()
		if wrote := apply(t, m, c); len(wrote) > 0 || len(m.writes) > 0 {
			t.Errorf("%s it writes %v (%v)", when, wrote, m.writes)
		}
	}
}

func TestApplyWritesWhatChanged(t *testing.T) {
	before := object("ConfigMap", "settings", annotation("cloud.example/tier", "a"), field("1", "data", "one"), field("2", "data", "two"))
	cases := map[string]*unstructured.Unstructured{
		"a value that differs":             object("ConfigMap", "settings", annotation("cloud.example/tier", "b"), field("1", "data", "one"), field("2", "data", "two")),
		"a field that is new":              object("ConfigMap", "settings", annotation("cloud.example/tier", "a"), field("1", "data", "one"), field("2", "data", "two"), field("3", "data", "three")),
		"a field that is gone":             object("ConfigMap", "settings", annotation("cloud.example/tier", "a"), field("1", "data", "one")),
		"the last annotation that is gone": object("ConfigMap", "settings", field("1", "data", "one"), field("2", "data", "two")),
	}
	for name, after := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t)
			apply(t, m, component(before))
			want := []string{"configured ConfigMap istio-system/settings"}
			if diff := cmp.Diff(want, apply(t, m, component(after))); diff != "" {
				t.Errorf("wrote (-want +got):\n%s", diff)
			}
			live, _ := m.has(t, after)
			wantData, gotData := after.Object["data"], live.Object["data"]
			if diff := cmp.Diff(wantData, gotData); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(after.GetAnnotations(), live.GetAnnotations()); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestApplyLeavesFieldsOfOthers(t *testing.T) {
	m := newMember(t)
	c := component(object("ConfigMap", "settings", field("1", "data", "one")))
	apply(t, m, c)
	live, _ := m.has(t, c.Objects[0])
	annotation("cloud.example/address", "assigned")(live)
	if err := m.Update(t.Context(), live, client.FieldOwner("cloud")); err != nil {
		t.Fatal(err)
	}
	m.restart()
	if wrote := apply(t, m, c); len(wrote) > 0 {
		t.Errorf("wrote %v", wrote)
	}
}

func TestApplyMendsDrift(t *testing.T) {
	m := newMember(t)
	c := component(object("ConfigMap", "settings", field("1", "data", "one")))
	apply(t, m, c)
	apply(t, m, c)
	live, _ := m.has(t, c.Objects[0])
	field("changed by hand", "data", "one")(live)
	if err := m.Update(t.Context(), live, client.FieldOwner("someone")); err != nil {
		t.Fatal(err)
	}
	apply(t, m, c)
	live, _ = m.has(t, c.Objects[0])
	if got, _, _ := unstructured.NestedString(live.Object, "data", "one"); got != "1" {
		t.Errorf("the value is %q, want 1", got)
	}
}

func TestApplyDeletesWhatIsNoLongerWanted(t *testing.T) {
	kept, dropped := object("ConfigMap", "kept"), object("Secret", "dropped")
	cases := map[string]struct {
		second    Component
		wantThere bool
	}{
		"an object that is not wanted goes":                 {second: component(kept)},
		"one that cannot be made now, but is wanted, stays": {second: Component{Name: "gateway", Objects: []*unstructured.Unstructured{kept}, Keep: []Reference{refOf(dropped)}}, wantThere: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t)
			apply(t, m, component(kept, dropped))
			apply(t, m, c.second)
			if _, there := m.has(t, dropped); there != c.wantThere {
				t.Errorf("there: %v, want %v", there, c.wantThere)
			}
			if _, there := m.has(t, kept); !there {
				t.Error("the object that is wanted is gone")
			}
		})
	}
}

func TestApplyLeavesObjectsOfOthersAlone(t *testing.T) {
	cases := map[string]objectOption{
		"without our label": labels(nil),
		"of another mesh":   labels(map[string]string{meshv1alpha1.LabelInstallation: "meshfleet-system.other"}),
	}
	for name, option := range cases {
		t.Run(name, func(t *testing.T) {
			foreign := object("ConfigMap", "settings", field("theirs", "data", "one"), option)
			m := newMember(t, foreign)
			_, err := m.applier.Apply(t.Context(), component(object("ConfigMap", "settings", field("ours", "data", "one")), object("Secret", "another")))
			if !errors.Is(err, ErrConflict) {
				t.Errorf("error is %v, want ErrConflict", err)
			}
			if live, _ := m.has(t, foreign); !holds(foreign.Object["data"], live.Object["data"]) {
				t.Errorf("it was changed: %v", live.Object["data"])
			}
			if _, there := m.has(t, object("Secret", "another")); !there {
				t.Error("the rest of the component was not applied")
			}
			if gone, err := m.applier.Delete(t.Context(), "gateway"); err != nil || !gone {
				t.Errorf("deleted: %v, %v", gone, err)
			}
			if _, there := m.has(t, foreign); !there {
				t.Error("deleting the component deleted what somebody else has made")
			}
		})
	}
}

func TestApplyGivesOurObjectsTheirLabelsBack(t *testing.T) {
	settings, inventory := object("ConfigMap", "settings", field("1", "data", "one")), object("ConfigMap", inventoryPrefix+"gateway")
	cases := map[string]struct {
		target *unstructured.Unstructured
		left   map[string]string
	}{
		"the installation's label is gone": {settings, map[string]string{managedBy: fieldManager, meshv1alpha1.LabelComponent: "gateway"}},
		"all labels are gone":              {settings, nil},
		"others are in their place":        {settings, map[string]string{"app": "theirs"}},
		"an inventory has lost its label":  {inventory, map[string]string{managedBy: fieldManager}},
		"an inventory has lost all labels": {inventory, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t)
			apply(t, m, component(settings))
			apply(t, m, component(settings))
			live, _ := m.has(t, c.target)
			before := live.GetLabels()
			live.SetLabels(c.left)
			if err := m.Update(t.Context(), live, client.FieldOwner("someone")); err != nil {
				t.Fatal(err)
			}
			apply(t, m, component(settings))
			live, _ = m.has(t, c.target)
			if !carries(live, before) || !carries(live, c.left) {
				t.Errorf("labels are %v, want %v and what others have added, %v", live.GetLabels(), before, c.left)
			}
			m.forget()
			if wrote := apply(t, m, component(settings)); len(wrote) > 0 || len(m.writes) > 0 {
				t.Errorf("it goes on writing %v (%v)", wrote, m.writes)
			}
		})
	}
}

func TestApplyLeavesWhatItHasOnlyTouchedAlone(t *testing.T) {
	foreign := object("ConfigMap", "settings", field("theirs", "data", "one"))
	m := newMember(t, foreign)
	live, _ := m.has(t, foreign)
	annotation("restarted-at", "noon")(live)
	if err := m.Update(t.Context(), live, client.FieldOwner(fieldManager)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.applier.Apply(t.Context(), component(object("ConfigMap", "settings", field("ours", "data", "one")))); !errors.Is(err, ErrConflict) {
		t.Errorf("error is %v, want ErrConflict", err)
	}
}

func TestApplyRefusesAnInventoryOfAnotherMesh(t *testing.T) {
	m := newMember(t, object("ConfigMap", inventoryPrefix+"gateway", labels(map[string]string{meshv1alpha1.LabelInstallation: "other.mesh"})))
	if _, err := m.applier.Apply(t.Context(), component(object("Secret", "s"))); !errors.Is(err, ErrConflict) {
		t.Errorf("error is %v, want ErrConflict", err)
	}
	if _, err := m.applier.Delete(t.Context(), "gateway"); !errors.Is(err, ErrConflict) {
		t.Errorf("error of the deletion is %v, want ErrConflict", err)
	}
}

func TestApplyWaitsForATerminatingNamespace(t *testing.T) {
	m := newMember(t)
	ns := object("Namespace", namespace)
	ns.SetNamespace("")
	live, _ := m.has(t, ns)
	live.SetFinalizers([]string{"example.com/held"})
	if err := m.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	if err := m.Client.Delete(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	if err := terminating(t.Context(), m, namespace); !errors.Is(err, ErrTerminating) {
		t.Errorf("error is %v, want ErrTerminating", err)
	}
	_, err := m.applier.Apply(t.Context(), Component{Name: "shared", Shared: true, Objects: []*unstructured.Unstructured{object("Secret", "s")}})
	if !errors.Is(err, ErrTerminating) {
		t.Errorf("error of applying is %v, want ErrTerminating", err)
	}
}

func TestApplyShared(t *testing.T) {
	wanted := object("ConfigMap", "crd", labels(map[string]string{versionLabel: "1.29.1"}), field("ours", "data", "schema"))
	cases := map[string]struct {
		live map[string]string
		want string
	}{
		"an unlabelled object is adopted":                {nil, "ours"},
		"an older release is upgraded":                   {map[string]string{versionLabel: "1.28.3"}, "ours"},
		"the same release is put right":                  {map[string]string{versionLabel: "1.29.1"}, "ours"},
		"a newer release is never downgraded":            {map[string]string{versionLabel: "1.30.0"}, "theirs"},
		"what the Operator Lifecycle Manager owns stays": {map[string]string{"olm.managed": "true"}, "theirs"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t, object("ConfigMap", "crd", labels(c.live), field("theirs", "data", "schema")))
			apply(t, m, Component{Name: "crds", Shared: true, Objects: []*unstructured.Unstructured{wanted}})
			live, _ := m.has(t, wanted)
			if got, _, _ := unstructured.NestedString(live.Object, "data", "schema"); got != c.want {
				t.Errorf("schema is %q, want %q", got, c.want)
			}
			if names, err := m.applier.Components(t.Context()); err != nil || len(names) > 0 {
				t.Errorf("shared objects have an inventory: %v, %v", names, err)
			}
		})
	}
}

func TestApplyTriesEveryObject(t *testing.T) {
	m := newMember(t)
	broken := errors.New("the API server says no")
	refuse := &refusing{Client: m.Client, name: "bad", err: broken}
	a := New(refuse, refuse, Owner{Installation: installation, Namespace: namespace})
	_, err := a.Apply(t.Context(), component(object("ConfigMap", "bad"), object("ConfigMap", "good"), object("Deployment", "after")))
	if !errors.Is(err, broken) {
		t.Errorf("error is %v, want that of the API server", err)
	}
	if _, there := m.has(t, object("ConfigMap", "good")); !there {
		t.Error("the object beside the one that failed was not applied")
	}
	if _, there := m.has(t, object("Deployment", "after")); there {
		t.Error("pods were started though what they need failed")
	}
}

// refusing is a client that cannot read one object.
type refusing struct {
	client.Client
	name string
	err  error
}

func (r *refusing) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if key.Name == r.name {
		return r.err
	}
	return r.Client.Get(ctx, key, o, opts...)
}

// TestOverAnotherConnection wants what was found right to stay known when only the credential changes, and to be read again after a restart.
func TestOverAnotherConnection(t *testing.T) {
	m := newMember(t)
	c := component(object("Service", "gateway", field("LoadBalancer", "spec", "type")), object("ConfigMap", "settings"))
	reads := func() int {
		m.forget()
		if wrote := apply(t, m, c); len(wrote) > 0 {
			t.Errorf("it writes %v", wrote)
		}
		return m.reads
	}
	apply(t, m, c)
	reads()
	before := reads()
	m.applier = m.applier.Over(m.Client, m.Client)
	if got := reads(); got != before {
		t.Errorf("over another connection %d reads, want %d as before", got, before)
	}
	m.restart()
	if got := reads(); got <= before {
		t.Errorf("after a restart %d reads, want more than %d: this test shows nothing otherwise", got, before)
	}
}
