package apply

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// RefusalKind says what speaks against an object that the API server refused, and so who can change it.
type RefusalKind string

const (
	// RefusedInvalid: the object itself is not valid, whoever sends it.
	RefusedInvalid RefusalKind = "Invalid"
	// RefusedByPolicy: a ValidatingAdmissionPolicy, an admission webhook or a built-in admission plugin denied it.
	RefusedByPolicy RefusalKind = "Policy"
	// RefusedByQuota: a ResourceQuota of the namespace does not allow it.
	RefusedByQuota RefusalKind = "Quota"
	// RefusedPermission: RBAC does not let the credential write it.
	RefusedPermission RefusalKind = "Permission"
)

// Refusal is the API server's answer that it does not take an object. Sending the same again does not help.
type Refusal struct {
	// Component that the object belongs to.
	Component string
	// Object that was refused.
	Object Reference
	// Kind of the refusal.
	Kind RefusalKind
	// Err is the answer.
	Err error
}

const (
	// refusalBytes bounds what is quoted of one answer: a webhook may answer with anything.
	refusalBytes = 400
	// quotedErrors is how many errors of a component are quoted.
	quotedErrors = 3
)

var cures = map[RefusalKind]string{
	RefusedInvalid:    "correct the values",
	RefusedByPolicy:   "change the values, or have the policy allow it",
	RefusedByQuota:    "raise the quota, or lower requests and replicas in the values",
	RefusedPermission: "apply config/member-rbac of this release in the member, and grant what your own values add",
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the API server refused %s: %s; %s", r.Object, r.words(), cures[r.Kind])
}

// words are those of the API server, except for Secrets: it may quote what is in them.
func (r *Refusal) words() string {
	if r.Object.Kind == "Secret" {
		return string(apierrors.ReasonForError(r.Err)) + " (the answer may quote the Secret and is not shown)"
	}
	text := r.Err.Error()
	var status apierrors.APIStatus
	if errors.As(r.Err, &status) {
		text = status.Status().Message
	}
	return mesh.Shorten(text, refusalBytes)
}

func (r *Refusal) Unwrap() error { return r.Err }

// IsFinal says that only a change of the object, of a policy or of a quota helps. A permission that is missing may be granted at
// any moment, as after an upgrade of the operator.
func (r *Refusal) IsFinal() bool { return r.Kind != RefusedPermission }

// AsRefusal finds a Refusal in an error: a final one, if there is any. Nil: there is none.
func AsRefusal(err error) *Refusal {
	all := refusals(err)
	for _, r := range all {
		if r.IsFinal() {
			return r
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return nil
}

func refusals(err error) []*Refusal {
	var out []*Refusal
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself, to find all
	case nil:
	case *Refusal:
		out = append(out, e)
	case interface{ Unwrap() []error }:
		for _, below := range e.Unwrap() {
			out = append(out, refusals(below)...)
		}
	case interface{ Unwrap() error }:
		out = refusals(e.Unwrap())
	}
	return out
}

// refuse makes a Refusal of an error if it is one, else it returns the error.
func refuse(component string, o *unstructured.Unstructured, err error) error {
	if err == nil {
		return nil
	}
	if kind, isRefused := kindOf(err); isRefused {
		return &Refusal{Component: component, Object: refOf(o), Kind: kind, Err: err}
	}
	return err
}

// kindOf tells refusals from failures of a call. The API server has one code for missing permissions, policies and
// quotas, and policies may answer with any code: only the text tells them apart.
func kindOf(err error) (RefusalKind, bool) {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return "", false
	}
	status := answer.Status()
	text := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(status.Message, p) {
				return true
			}
		}
		return false
	}
	code := int(status.Code)
	switch {
	case text("failed to create typed patch object", "field not declared in schema"):
		// An internal error by its code: the object has a field of another type than the schema.
		return RefusedInvalid, true
	case code >= http.StatusInternalServerError, code == http.StatusTooManyRequests, code == http.StatusConflict,
		code == http.StatusNotFound, code == http.StatusUnauthorized,
		text("does not support dry run", "not yet ready to handle request"),
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return "", false
	case text("admission webhook") && text("denied the request"), text("AdmissionPolicy") && text("denied request"):
		return RefusedByPolicy, true
	case apierrors.IsForbidden(err) && text("exceeded quota", "failed quota", "insufficient quota"):
		return RefusedByQuota, true
	case apierrors.IsForbidden(err) && (text(" cannot ") && text(` resource "`) || text("RBAC permissions not currently held")):
		return RefusedPermission, true
	case apierrors.IsForbidden(err):
		return RefusedByPolicy, true
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), status.Reason == metav1.StatusReasonRequestEntityTooLarge:
		return RefusedInvalid, true
	}
	return "", false
}

// failures are the errors of a component's objects. Their text names the first few.
type failures []error

func (f failures) Unwrap() []error { return f }

func (f failures) Error() string {
	quoted := make([]string, 0, len(f))
	for _, err := range f {
		quoted = append(quoted, err.Error())
	}
	return mesh.Sentences(quoted, quotedErrors)
}

// joined is nil without errors.
func joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return failures(errs)
}
