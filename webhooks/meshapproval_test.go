package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// asked is a MeshApproval of the wave rest of an upgrade with the UID 1.
func asked(decision meshv1alpha1.Decision, edits ...func(*meshv1alpha1.MeshApproval)) *meshv1alpha1.MeshApproval {
	a := &meshv1alpha1.MeshApproval{ObjectMeta: metav1.ObjectMeta{Name: "shop-1-rest", Namespace: namespace}, Spec: meshv1alpha1.MeshApprovalSpec{
		UpgradeRef: meshv1alpha1.UpgradeRef{Name: "shop-1", UID: "1"}, Wave: "rest", Decision: decision,
	}}
	for _, edit := range edits {
		edit(a)
	}
	return a
}

// as is the context of a request of a user. old is the object before; nil at creation.
func as(t *testing.T, user string, old *meshv1alpha1.MeshApproval) context.Context {
	t.Helper()
	req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, UserInfo: authenticationv1.UserInfo{Username: user, Groups: []string{"people"}},
	}}
	if old != nil {
		raw, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		req.Operation, req.OldObject = admissionv1.Update, runtime.RawExtension{Raw: raw}
	}
	return admission.NewContextWithRequest(t.Context(), req)
}

func TestWhoDecidesIsRecorded(t *testing.T) {
	const pending, approved, rejected = meshv1alpha1.DecisionPending, meshv1alpha1.DecisionApproved, meshv1alpha1.DecisionRejected
	by := func(name string) func(*meshv1alpha1.MeshApproval) {
		return func(a *meshv1alpha1.MeshApproval) { a.Spec.DecidedBy = name }
	}
	cases := map[string]struct {
		old, now *meshv1alpha1.MeshApproval
		want     string
	}{
		"asked":                              {nil, asked(pending), ""},
		"asked with a name":                  {nil, asked(pending, by("alice")), ""},
		"created with a decision and a name": {nil, asked(approved, by("alice")), "bob"},
		"approved":                           {asked(pending), asked(approved), "bob"},
		"rejected":                           {asked(pending), asked(rejected), "bob"},
		"approved with the name of another":  {asked(pending), asked(approved, by("alice")), "bob"},
		"a name without a decision":          {asked(pending), asked(pending, by("alice")), ""},
		"a label after the decision":         {asked(approved, by("alice")), asked(approved, by("alice")), "alice"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := (decisions{}).Default(as(t, "bob", c.old), c.now); err != nil {
				t.Fatal(err)
			}
			if c.now.Spec.DecidedBy != c.want {
				t.Errorf("decided by %q, want %q", c.now.Spec.DecidedBy, c.want)
			}
		})
	}
}

func TestDecisions(t *testing.T) {
	const pending, approved, rejected = meshv1alpha1.DecisionPending, meshv1alpha1.DecisionApproved, meshv1alpha1.DecisionRejected
	expires := func(at time.Time) func(*meshv1alpha1.MeshApproval) {
		return func(a *meshv1alpha1.MeshApproval) { a.Spec.Expires = &metav1.Time{Time: at} }
	}
	upgrade := record(meshv1alpha1.UpgradeWaitingForApproval, "", func(u *meshv1alpha1.MeshUpgrade) {
		u.UID, u.Spec.Waves = "1", []meshv1alpha1.PlannedWave{{Name: "canary"}, {Name: "rest"}}
	})
	cases := map[string]struct {
		user     string
		old, now *meshv1alpha1.MeshApproval
		// want is a part of the refusal. Empty: it is accepted.
		want string
	}{
		"the operator asks":                     {"operator", nil, asked(pending), ""},
		"created with a decision":               {"approver", nil, asked(approved), "spec.decision: Invalid"},
		"an approver approves":                  {"approver", asked(pending), asked(approved), ""},
		"an approver rejects":                   {"approver", asked(pending), asked(rejected), ""},
		"an approver approves for a time":       {"approver", asked(pending), asked(approved, expires(testutil.Now.Add(time.Hour))), ""},
		"an approver approves for the past":     {"approver", asked(pending), asked(approved, expires(testutil.Now)), "spec.expires: Invalid"},
		"an editor approves":                    {"editor", asked(pending), asked(approved), `user "editor" may not decide: the verb "approve" on meshupgrades.mesh.meshfleet.io "shop-1"`},
		"an editor rejects":                     {"editor", asked(pending), asked(rejected), "may not decide"},
		"an editor labels what is decided":      {"editor", asked(approved), asked(approved), ""},
		"an editor labels what is not decided":  {"editor", asked(pending), asked(pending), ""},
		"the UID is that of an earlier upgrade": {"approver", asked(pending), asked(approved, func(a *meshv1alpha1.MeshApproval) { a.Spec.UpgradeRef.UID = "0" }), "spec.upgradeRef.uid: Invalid"},
		"there is no such upgrade":              {"approver", asked(pending), asked(approved, func(a *meshv1alpha1.MeshApproval) { a.Spec.UpgradeRef.Name = "x" }), "spec.upgradeRef.name: Not found"},
		"there is no such wave":                 {"approver", asked(pending), asked(approved, func(a *meshv1alpha1.MeshApproval) { a.Spec.Wave = "x" }), "spec.wave: Not found"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := decisions{reader: newValidator(t, upgrade).reader, now: func() time.Time { return testutil.Now }, mayApprove: onlyApprover}
			ctx := as(t, c.user, c.old)
			var err error
			if c.old == nil {
				_, err = d.ValidateCreate(ctx, c.now)
			} else {
				_, err = d.ValidateUpdate(ctx, c.old, c.now)
			}
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}

// onlyApprover lets the user approver approve in the namespace.
func onlyApprover(ctx context.Context, in, _ string) (bool, string, error) {
	req, err := admission.RequestFromContext(ctx)
	return req.UserInfo.Username == "approver" && in == namespace, req.UserInfo.Username, err
}

// TestTheAPIServerIsAsked wants a question about the user of the request, and no permission without an answer.
func TestTheAPIServerIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		allowed bool
		err     error
	}{"allowed": {true, nil}, "not allowed": {false, nil}, "no answer": {false, apierrors.NewServiceUnavailable("down")}} {
		t.Run(name, func(t *testing.T) {
			var got authorizationv1.SubjectAccessReviewSpec
			c := c
			server := fake.NewClientBuilder().WithScheme(newScheme(t)).WithInterceptorFuncs(interceptor.Funcs{
				Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
					review, ok := o.(*authorizationv1.SubjectAccessReview)
					if !ok {
						return errors.New("not a SubjectAccessReview")
					}
					got, review.Status.Allowed = review.Spec, c.allowed
					return c.err
				},
			}).Build()
			may, user, err := approvers(server)(as(t, "bob", nil), namespace, "shop-1")
			if may != c.allowed || (err != nil) != (c.err != nil) || err == nil && user != "bob" {
				t.Errorf("may %v, user %q, error %v", may, user, err)
			}
			want := authorizationv1.SubjectAccessReviewSpec{User: "bob", Groups: []string{"people"}, Extra: map[string]authorizationv1.ExtraValue{},
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: namespace, Verb: "approve", Group: "mesh.meshfleet.io", Version: "v1alpha1", Resource: "meshupgrades", Name: "shop-1"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}
