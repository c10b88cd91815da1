package apply

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func answer(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message}}
}

func forbidden(message string) error {
	return answer(http.StatusForbidden, metav1.StatusReasonForbidden, message)
}

func TestRefusals(t *testing.T) {
	cases := map[string]struct {
		err  error
		want RefusalKind
	}{
		"a request above its limit": {answer(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid,
			`Deployment.apps "istiod" is invalid: spec.template.spec.containers[0].resources.requests: Invalid value: "128Mi": must be less than or equal to memory limit of 64Mi`), RefusedInvalid},
		"a field of another type": {answer(http.StatusInternalServerError, "", "failed to create typed patch object (a/b; apps/v1, Kind=Deployment): .spec.replicas: expected numeric"), RefusedInvalid},
		"what cannot be decoded":  {answer(http.StatusBadRequest, metav1.StatusReasonBadRequest, "the object cannot be decoded"), RefusedInvalid},
		"a policy":                {answer(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, `deployments.apps "istiod" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`), RefusedByPolicy},
		"a webhook":               {forbidden(`admission webhook "v.example" denied the request: no`), RefusedByPolicy},
		"a webhook with a code of its own": {answer(http.StatusBadRequest, metav1.StatusReasonBadRequest,
			`admission webhook "v.example" denied the request: no`), RefusedByPolicy},
		"a built-in plugin":              {forbidden(`services "x" is forbidden: not in this namespace`), RefusedByPolicy},
		"a quota":                        {forbidden(`services "x" is forbidden: exceeded quota: q, requested: services=1, used: services=5, limited: services=5`), RefusedByQuota},
		"a quota without what it counts": {forbidden(`pods "x" is forbidden: failed quota: q: must specify limits.cpu for: discovery`), RefusedByQuota},
		"a permission":                   {forbidden(`deployments.apps "x" is forbidden: User "u" cannot patch resource "deployments" in API group "apps" in the namespace "n"`), RefusedPermission},
		"a role with more than one has":  {forbidden(`clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "u" (groups=["g"]) is attempting to grant RBAC permissions not currently held: {…}`), RefusedPermission},

		"a webhook that does not answer": {answer(http.StatusInternalServerError, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "v.example": connection refused`), ""},
		"a webhook that is out of order": {answer(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, `admission webhook "v.example" denied the request: starting`), ""},
		"a webhook without dry runs":     {answer(http.StatusBadRequest, metav1.StatusReasonBadRequest, `admission webhook "v.example" does not support dry run`), ""},
		"a policy that is not loaded":    {forbidden(`deployments.apps "x" is forbidden: not yet ready to handle request`), ""},
		"a conflict":                     {answer(http.StatusConflict, metav1.StatusReasonConflict, "the object has been modified"), ""},
		"too many requests":              {answer(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "slow down"), ""},
		"something that is missing":      {answer(http.StatusNotFound, metav1.StatusReasonNotFound, `clusterroles.rbac.authorization.k8s.io "x" not found`), ""},
		"no answer":                      {errors.New("connection refused"), ""},
		"a namespace that goes away": {&apierrors.StatusError{ErrStatus: metav1.Status{
			Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: "unable to create new content in namespace x because it is being terminated",
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
		}}, ""},
	}
	o := object("Deployment", "istiod")
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := refuse("istiod-a", o, fmt.Errorf("dry run: %w", c.err))
			refusal := AsRefusal(errors.Join(errors.New("another"), fmt.Errorf("wrapped: %w", err)))
			if c.want == "" {
				if refusal != nil {
					t.Fatalf("taken for a refusal of kind %s", refusal.Kind)
				}
				return
			}
			if refusal == nil || refusal.Kind != c.want || refusal.Component != "istiod-a" || !errors.Is(refusal, c.err) {
				t.Fatalf("refusal %+v, want kind %s", refusal, c.want)
			}
			want := fmt.Sprintf("the API server refused Deployment istio-system/istiod: %s; %s", c.err, cures[c.want])
			if diff := cmp.Diff(want, refusal.Error()); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
			if refusal.IsFinal() != (c.want != RefusedPermission) {
				t.Errorf("final: %v", refusal.IsFinal())
			}
		})
	}
}

func TestRefusalOfASecretQuotesNothing(t *testing.T) {
	err := refuse("trust", object("Secret", "cacerts"), answer(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, `data: Invalid value: "hunter2"`))
	if text := err.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "Invalid") {
		t.Errorf("the text is %q", text)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	m := newMember(t)
	m.refuse = answer(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, strings.Repeat("x", 100_000))
	var c Component
	for i := range 20 {
		c.Objects = append(c.Objects, object("ConfigMap", fmt.Sprintf("c%02d", i)))
	}
	c.Name = "gateway"
	_, err := m.applier.Apply(t.Context(), c)
	if err == nil || len(err.Error()) > 5*refusalBytes || !strings.HasSuffix(err.Error(), "; and 17 more") {
		t.Errorf("an error of %d bytes", len(fmt.Sprint(err)))
	}
	if found := refusals(err); len(found) != 20 {
		t.Errorf("%d refusals, want all 20", len(found))
	}
}

// TestAsRefusalPrefersWhatIsFinal finds what ends a stage behind what may still be granted.
func TestAsRefusalPrefersWhatIsFinal(t *testing.T) {
	permission := refuse("a", object("ConfigMap", "a"), forbidden(`x is forbidden: User "u" cannot patch resource "configmaps"`))
	quota := refuse("a", object("ConfigMap", "b"), forbidden("x is forbidden: exceeded quota: q"))
	if got := AsRefusal(joined([]error{permission, quota})); got.Kind != RefusedByQuota {
		t.Errorf("found %s", got.Kind)
	}
	if got := AsRefusal(joined([]error{permission})); got.Kind != RefusedPermission {
		t.Errorf("found %s", got.Kind)
	}
	if AsRefusal(nil) != nil || joined(nil) != nil {
		t.Error("no error is an error")
	}
}

func TestDryRun(t *testing.T) {
	m := newMember(t)
	there := object("ConfigMap", "there", field("1", "data", "one"))
	apply(t, m, component(there))
	foreign := object("ConfigMap", "foreign")
	if err := m.Create(t.Context(), foreign.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	m.forget()
	c := component(there, object("Service", "new"), foreign)
	if err := m.applier.DryRun(t.Context(), c); !errors.Is(err, ErrConflict) || AsRefusal(err) != nil {
		t.Errorf("an object of somebody else gives %v", err)
	}
	m.refuse = answer(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "no")
	if err := m.applier.DryRun(t.Context(), component(there, object("Service", "new"))); err != nil {
		t.Errorf("what was taken is asked about again: %v", err)
	}
	m.applier.Recheck()
	refusal := AsRefusal(m.applier.DryRun(t.Context(), component(there, object("Service", "new"))))
	if refusal == nil || refusal.Object.Name != "new" {
		t.Errorf("after Recheck: %v", refusal)
	}
	if len(m.writes) > 0 {
		t.Errorf("a dry run wrote %v", m.writes)
	}
	if _, isThere := m.has(t, object("Service", "new")); isThere {
		t.Error("a dry run made an object")
	}
}

func TestApplyOfAPart(t *testing.T) {
	m := newMember(t)
	changed, other := object("ConfigMap", "changed", field("1", "data", "one")), object("ConfigMap", "other")
	apply(t, m, component(changed, other))
	part := component(object("ConfigMap", "changed", field("2", "data", "one")), object("ConfigMap", "new"))
	part.Partial = true
	want := []string{"configured ConfigMap istio-system/changed"}
	if diff := cmp.Diff(want, apply(t, m, part)); diff != "" {
		t.Errorf("wrote (-want +got):\n%s", diff)
	}
	if _, isThere := m.has(t, other); !isThere {
		t.Error("what is not of the part is gone")
	}
	if _, isThere := m.has(t, object("ConfigMap", "new")); isThere {
		t.Error("something was made")
	}
	if gone, err := m.applier.Delete(t.Context(), "gateway"); err != nil || !gone {
		t.Errorf("the component is not deleted: %v", err)
	}
	if _, isThere := m.has(t, other); isThere {
		t.Error("the inventory has forgotten what is not of the part")
	}
}
