package apply

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rewrites lets another client change an object, and returns whether the operator has restored it then.
func rewrites(t *testing.T, m *member, c Component, manager string) bool {
	t.Helper()
	live, _ := m.has(t, c.Objects[0])
	field("theirs", "data", "one")(live)
	if err := m.Update(t.Context(), live, client.FieldOwner(manager)); err != nil {
		t.Fatal(err)
	}
	apply(t, m, c)
	live, _ = m.has(t, c.Objects[0])
	got, _, _ := unstructured.NestedString(live.Object, "data", "one")
	return got == "ours"
}

// TestContested lets another client rewrite an object at different intervals.
func TestContested(t *testing.T) {
	cases := map[string]struct {
		shared  bool
		every   time.Duration
		rounds  int
		manager string
		// want is the client that is named at last, restored how often its change was undone.
		want     []Contested
		restored int
	}{
		"a person who edits twice":         {every: time.Minute, rounds: 2, manager: "kubectl-edit", restored: 2},
		"a client every minute":            {every: time.Minute, rounds: 5, manager: "argocd", want: []Contested{{Manager: "argocd"}}, restored: 5},
		"a client every ten minutes":       {every: 10 * time.Minute, rounds: 3, manager: "flux", want: []Contested{{Manager: "flux"}}, restored: 3},
		"a person once an hour":            {every: time.Hour, rounds: 5, manager: "kubectl-edit", restored: 5},
		"shared, a client every minute":    {shared: true, every: time.Minute, rounds: 5, manager: "helm", want: []Contested{{Manager: "helm"}}, restored: 5},
		"shared, a client at every moment": {shared: true, every: time.Second, rounds: 50, manager: "helm", want: []Contested{{Manager: "helm"}}, restored: 3},
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t)
			now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
			m.applier.now = func() time.Time { return now }
			c := component(object("ConfigMap", "settings", field("ours", "data", "one")))
			c.Shared = tt.shared
			apply(t, m, c)
			apply(t, m, c)
			restored := 0
			for range tt.rounds {
				now = now.Add(tt.every)
				if rewrites(t, m, c, tt.manager) {
					restored++
				}
			}
			for i := range tt.want {
				tt.want[i].Object = refOf(c.Objects[0])
			}
			if diff := cmp.Diff(tt.want, m.applier.Contested()); diff != "" || restored != tt.restored {
				t.Errorf("restored %d times, want %d; contested (-want +got):\n%s", restored, tt.restored, diff)
			}
			now = now.Add(contestWindow)
			if got := m.applier.Contested(); len(got) > 0 {
				t.Errorf("still contested after quiet: %+v", got)
			}
		})
	}
}

// TestContestedObjectsAreUpgraded writes another wanted state at once.
func TestContestedObjectsAreUpgraded(t *testing.T) {
	m := newMember(t)
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	m.applier.now = func() time.Time { return now }
	c := component(object("ConfigMap", "settings", field("ours", "data", "one")))
	c.Shared = true
	apply(t, m, c)
	for range 9 {
		now = now.Add(time.Second)
		rewrites(t, m, c, "helm")
	}
	next := component(object("ConfigMap", "settings", field("new", "data", "one")))
	next.Shared = true
	apply(t, m, next)
	live, _ := m.has(t, next.Objects[0])
	if got, _, _ := unstructured.NestedString(live.Object, "data", "one"); got != "new" || len(m.applier.Contested()) > 0 {
		t.Errorf("the value is %q, contested %+v", got, m.applier.Contested())
	}
}
