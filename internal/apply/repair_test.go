package apply

import (
	"errors"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// errInvalid is what the API server says of two ports of one name.
var errInvalid = apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), "gateway", nil)

func service(port int64) *unstructured.Unstructured {
	return object("Service", "gateway", field([]any{map[string]any{"name": "tls", "port": port, "protocol": "TCP"}}, "spec", "ports"))
}

func TestApplyRepairsAnObjectThatItsOwnListsMakeInvalid(t *testing.T) {
	m := newMember(t)
	apply(t, m, component(service(15443)))
	m.refuse = errInvalid
	m.forget()
	apply(t, m, component(service(15444)))
	if m.refuse != nil {
		t.Fatalf("it was not repaired; writes are %v", m.writes)
	}
	live, _ := m.has(t, service(0))
	want, _, _ := unstructured.NestedSlice(service(15444).Object, "spec", "ports")
	got, _, _ := unstructured.NestedSlice(live.Object, "spec", "ports")
	if !holds(want, got) {
		t.Errorf("ports are %v, want %v", got, want)
	}
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == repairManager {
			t.Errorf("the repair still owns fields: %s", entry.FieldsV1)
		}
	}
}

func TestApplyReportsWhatCannotBeRepaired(t *testing.T) {
	refused := errors.New("the API server says no")
	cases := map[string]struct {
		exists, shared bool
		err            error
	}{
		"a new object":                 {err: errInvalid},
		"a shared object":              {exists: true, shared: true, err: errInvalid},
		"a refusal for another reason": {exists: true, err: refused},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t)
			wanted := component(service(15444))
			wanted.Shared = c.shared
			if c.exists {
				before := component(service(15443))
				before.Shared = c.shared
				apply(t, m, before)
			}
			m.refuse = c.err
			m.forget()
			if _, err := m.applier.Apply(t.Context(), wanted); !errors.Is(err, c.err) {
				t.Errorf("error is %v, want %v", err, c.err)
			}
			if slices.ContainsFunc(m.writes, func(w string) bool { return w == "application/merge-patch+json Service gateway" }) {
				t.Errorf("it was patched: %v", m.writes)
			}
		})
	}
}
