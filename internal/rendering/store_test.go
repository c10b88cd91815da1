package rendering

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	component = "thing"
	set       = "all"
)

// operator is one release of the operator: it renders a ConfigMap with its own name in it, or knows no charts.
type operator struct {
	Store
	name string
}

func (o *operator) source(inputs string) Source {
	return Source{Component: component, Version: testutil.Version, Inputs: inputs, Render: func() (Sets, error) {
		if o.name == "" {
			return nil, fmt.Errorf("no chart: %w", charts.ErrNoChart)
		}
		return Sets{set: {&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "thing", "namespace": testutil.ControlPlane},
			"data": map[string]any{"by": o.name, "of": inputs},
		}}}}, nil
	}}
}

// run applies the component as a pass does, and returns who has rendered what is applied, and from what.
func (o *operator) run(t *testing.T, pass *member.Pass, src Source) (by string, err error) {
	t.Helper()
	kept, err := o.Of(t.Context(), pass, src)
	if err != nil {
		return "", err
	}
	objects, err := kept.Objects(set)
	testutil.Must(t, err)
	testutil.Must(t, o.Apply(t.Context(), pass, apply.Component{Name: component, Objects: objects, Renderings: kept.Renderings}))
	live := &corev1.ConfigMap{}
	testutil.Must(t, pass.Remote.Get(t.Context(), client.ObjectKeyFromObject(objects[0]), live))
	return live.Data["by"] + " of " + live.Data["of"], nil
}

func newCluster(t *testing.T) (*meshv1alpha1.MeshMember, client.Client, func() *member.Pass) {
	t.Helper()
	m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
		m.Status.Revisions = []meshv1alpha1.RevisionStatus{{Name: testutil.Revision, ReadyReplicas: 1}}
	})
	remote := fake.NewClientBuilder().WithReturnManagedFields().WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane}}).Build()
	return m, remote, func() *member.Pass { return membertest.Over(t, m, remote) }
}

func inventory(t *testing.T, c client.Client) *corev1.ConfigMap {
	t.Helper()
	cm := &corev1.ConfigMap{}
	testutil.Must(t, c.Get(t.Context(), client.ObjectKey{Namespace: testutil.ControlPlane, Name: "meshfleet-inventory-" + component}, cm))
	return cm
}

// TestAnotherOperator lets operator A install a component, and looks at what operator B then applies.
func TestAnotherOperator(t *testing.T) {
	forge := func(t *testing.T, m *meshv1alpha1.MeshMember, c client.Client) {
		forged, err := Pack("x", Sets{set: {&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "thing", "namespace": testutil.ControlPlane},
			"data": map[string]any{"by": "an attacker", "of": "x"},
		}}}})
		testutil.Must(t, err)
		cm := inventory(t, c)
		cm.BinaryData["0."+set] = forged.Renderings[0].Sets[set]
		testutil.Must(t, c.Update(t.Context(), cm))
	}
	lose := func(t *testing.T, m *meshv1alpha1.MeshMember, c client.Client) {
		cm := inventory(t, c)
		cm.BinaryData = nil
		delete(cm.Data, "inputs-0")
		testutil.Must(t, c.Update(t.Context(), cm))
	}
	cases := map[string]struct {
		// between happens when A has gone and B has not come yet.
		between func(*testing.T, *meshv1alpha1.MeshMember, client.Client)
		// unknown: B does not know the release. Foreign: its rendering is not the one that was ordered.
		unknown, foreign bool
		inputs           string
		want             string
		wantErr          error
	}{
		"renders something else":                                 {inputs: "x", want: "A of x"},
		"does not know the release":                              {inputs: "x", unknown: true, want: "A of x"},
		"renders something else, and the work order changed":     {inputs: "y", want: "B of y"},
		"does not know the release, and the work order changed":  {inputs: "y", unknown: true, wantErr: ErrInPlace},
		"finds a rendering that it has not stored":               {between: forge, inputs: "x", want: "B of x"},
		"does not know what it finds, nor has stored it":         {between: forge, inputs: "x", unknown: true, wantErr: ErrInPlace},
		"finds no rendering":                                     {between: lose, inputs: "x", want: "B of x"},
		"finds no rendering, and renders other than was ordered": {between: lose, inputs: "x", foreign: true, wantErr: ErrInPlace},
		"finds no rendering and does not know the release":       {between: lose, inputs: "x", unknown: true, wantErr: ErrInPlace},
		"finds a rendering, and renders other than was ordered":  {inputs: "x", foreign: true, want: "A of x"},
		"renders other than was ordered, and the order changed":  {inputs: "y", foreign: true, want: "B of y"},
		"finds a member that has never served": {
			between: func(_ *testing.T, m *meshv1alpha1.MeshMember, _ client.Client) { m.Status.Revisions = nil }, inputs: "x", want: "B of x"},
		"finds a member that has never served, of a release that it does not know": {
			between: func(_ *testing.T, m *meshv1alpha1.MeshMember, _ client.Client) { m.Status.Revisions = nil }, inputs: "x", unknown: true, want: "A of x"},
		"has lost the status, and believes the member": {
			between: func(_ *testing.T, m *meshv1alpha1.MeshMember, _ client.Client) { m.Status.Renderings = nil }, inputs: "x", want: "A of x"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, remote, next := newCluster(t)
			a := &operator{name: "A"}
			if by, err := a.run(t, next(), a.source("x")); err != nil || by != "A of x" {
				t.Fatalf("A applies %q (%v)", by, err)
			}
			if c.between != nil {
				c.between(t, m, remote)
			}
			before := inventory(t, remote).ResourceVersion
			b := &operator{name: "B"}
			if c.unknown {
				b.name = ""
			}
			src := b.source(c.inputs)
			if c.foreign {
				src.Ordered = "of A"
			}
			by, err := b.run(t, next(), src)
			if by != c.want || !errors.Is(err, c.wantErr) {
				t.Fatalf("B applies %q (%v), want %q (%v)", by, err, c.want, c.wantErr)
			}
			if c.want == "A of x" || c.wantErr != nil {
				if after := inventory(t, remote).ResourceVersion; after != before {
					t.Errorf("the inventory was written: version %s, then %s", before, after)
				}
			}
		})
	}
}

// TestWhatIsMissingIsNeitherKeptNorRendered wants a component that is not there, of a release that is not known, to be reported as such.
func TestWhatIsMissingIsNeitherKeptNorRendered(t *testing.T) {
	_, _, next := newCluster(t)
	b := &operator{}
	if _, err := b.Of(t.Context(), next(), b.source("x")); !errors.Is(err, charts.ErrNoChart) || errors.Is(err, ErrInPlace) {
		t.Errorf("error is %v, want ErrNoChart", err)
	}
}

// TestFormerRendering wants a component that is changed in place to find its former rendering again, once.
func TestFormerRendering(t *testing.T) {
	for keeps, want := range map[bool]string{true: "A of x", false: ""} {
		_, _, next := newCluster(t)
		a, b := &operator{name: "A"}, &operator{name: "B"}
		for _, step := range []struct {
			operator *operator
			inputs   string
		}{{a, "x"}, {b, "y"}} {
			src := step.operator.source(step.inputs)
			src.KeepsFormer = keeps
			_, err := step.operator.run(t, next(), src)
			testutil.Must(t, err)
		}
		c := &operator{}
		src := c.source("x")
		src.KeepsFormer = keeps
		by, err := c.run(t, next(), src)
		if by != want || !keeps && !errors.Is(err, ErrInPlace) {
			t.Errorf("keeps the former one: %v: C applies %q (%v), want %q", keeps, by, err, want)
		}
	}
}

// TestARenderingThatIsEditedIsStoredAgain wants the operator that has stored a rendering to put it back.
func TestARenderingThatIsEditedIsStoredAgain(t *testing.T) {
	m, remote, _ := newCluster(t)
	passes := membertest.Passes(t, m, remote)
	a := &operator{name: "A"}
	_, err := a.run(t, passes(testutil.Now), a.source("x"))
	testutil.Must(t, err)
	cm := inventory(t, remote)
	want := apply.HashOf([]apply.Rendering{{Inputs: cm.Data["inputs-0"], Sets: map[string][]byte{set: cm.BinaryData["0."+set]}}})
	if noted := m.Status.Renderings; len(noted) != 1 || noted[0].Hash != want {
		t.Errorf("the status has %v, want hash %s", noted, want)
	}
	cm.BinaryData = nil
	testutil.Must(t, remote.Update(t.Context(), cm))
	_, err = a.run(t, passes(testutil.Now), a.source("x"))
	testutil.Must(t, err)
	if len(inventory(t, remote).BinaryData) != 1 {
		t.Error("the rendering was not stored again")
	}
	a.Forget(passes(testutil.Now), []string{"another"})
	if len(m.Status.Renderings) != 0 {
		t.Errorf("the status still has %v", m.Status.Renderings)
	}
}

// TestNotesAreBounded keeps the newest renderings in status.
func TestNotesAreBounded(t *testing.T) {
	st := &meshv1alpha1.MeshMemberStatus{}
	for i := range maxNoted + 3 {
		note(st, apply.Component{Name: fmt.Sprint("c-", i), Renderings: []apply.Rendering{{Inputs: fmt.Sprint(i)}}})
	}
	if n, last := len(st.Renderings), st.Renderings[len(st.Renderings)-1].Component; n != maxNoted || last != fmt.Sprint("c-", maxNoted+2) {
		t.Errorf("%d are noted, the last is %s", n, last)
	}
}

// TestDamagedRenderings are refused, not applied.
func TestDamagedRenderings(t *testing.T) {
	good, err := Pack("x", Sets{set: {{Object: map[string]any{"kind": "A", "metadata": map[string]any{"name": "a"}}}}})
	testutil.Must(t, err)
	nameless, err := Pack("x", Sets{set: {{Object: map[string]any{"kind": "A"}}}})
	testutil.Must(t, err)
	packed := good.Renderings[0].Sets[set]
	for name, sets := range map[string]map[string][]byte{
		"no set": {}, "no gzip": {set: []byte("text")}, "cut off": {set: packed[:len(packed)/2]}, "no name": nameless.Renderings[0].Sets,
	} {
		k := &Kept{Renderings: []apply.Rendering{{Sets: sets}}}
		if objects, err := k.Objects(set); err == nil {
			t.Errorf("%s: %v, want an error", name, objects)
		}
	}
}
