package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// +kubebuilder:webhook:path=/mutate-mesh-meshfleet-io-v1alpha1-meshapproval,mutating=true,failurePolicy=fail,sideEffects=None,groups=mesh.meshfleet.io,resources=meshapprovals,verbs=create;update,versions=v1alpha1,name=mmeshapproval.meshfleet.io,admissionReviewVersions=v1
// +kubebuilder:webhook:path=/validate-mesh-meshfleet-io-v1alpha1-meshapproval,mutating=false,failurePolicy=fail,sideEffects=None,groups=mesh.meshfleet.io,resources=meshapprovals,verbs=create;update,versions=v1alpha1,name=vmeshapproval.meshfleet.io,admissionReviewVersions=v1
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// decisions records who decides, and refuses decisions of those who may not.
type decisions struct {
	reader     client.Reader
	mayApprove permission
	now        func() time.Time
}

var (
	_ admission.Validator[*meshv1alpha1.MeshApproval] = decisions{}
	_ admission.Defaulter[*meshv1alpha1.MeshApproval] = decisions{}
)

// Default writes the name of the user who decides, whatever the request says. A decision that was made before stays as it is: the rules
// of the CRD refuse a change of it.
func (d decisions) Default(ctx context.Context, a *meshv1alpha1.MeshApproval) error {
	req, err := admission.RequestFromContext(ctx)
	if err != nil {
		return err
	}
	before := &meshv1alpha1.MeshApproval{}
	if req.Operation == admissionv1.Update {
		if err := json.Unmarshal(req.OldObject.Raw, before); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("read the former MeshApproval: %w", err))
		}
	}
	switch {
	case a.Spec.Decision == meshv1alpha1.DecisionPending:
		a.Spec.DecidedBy = ""
	case isOpen(before):
		a.Spec.DecidedBy = req.UserInfo.Username
	}
	return nil
}

// isOpen says whether a MeshApproval, which may be none, has no decision.
func isOpen(a *meshv1alpha1.MeshApproval) bool {
	return a.Spec.Decision == "" || a.Spec.Decision == meshv1alpha1.DecisionPending
}

// ValidateCreate refuses a decision about what nobody has asked.
func (d decisions) ValidateCreate(_ context.Context, a *meshv1alpha1.MeshApproval) (admission.Warnings, error) {
	if isOpen(a) {
		return nil, nil
	}
	return nil, refuseDecision(a, field.Invalid(field.NewPath("spec", "decision"), string(a.Spec.Decision),
		"a new MeshApproval is Pending; the operator creates it when the wave waits, and then you set spec.decision"))
}

// ValidateUpdate checks a decision when it is made.
func (d decisions) ValidateUpdate(ctx context.Context, old, a *meshv1alpha1.MeshApproval) (admission.Warnings, error) {
	if !isOpen(old) || isOpen(a) || !a.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	may, user, err := d.mayApprove(ctx, a.Namespace, a.Spec.UpgradeRef.Name)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if !may {
		return nil, apierrors.NewForbidden(meshv1alpha1.GroupVersion.WithResource("meshapprovals").GroupResource(), a.Name, fmt.Errorf(
			"user %q may not decide: the verb %q on meshupgrades.mesh.meshfleet.io %q in namespace %q is required; the ClusterRole "+
				"meshfleet-meshapproval-approver has it", user, meshv1alpha1.VerbApprove, a.Spec.UpgradeRef.Name, a.Namespace))
	}
	problem, err := d.checkDecision(ctx, a)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if problem != nil {
		return nil, refuseDecision(a, problem)
	}
	return nil, nil
}

// ValidateDelete allows it: a wave that waits is asked about again.
func (decisions) ValidateDelete(context.Context, *meshv1alpha1.MeshApproval) (admission.Warnings, error) {
	return nil, nil
}

// checkDecision says why a decision would have no effect.
func (d decisions) checkDecision(ctx context.Context, a *meshv1alpha1.MeshApproval) (*field.Error, error) {
	spec := field.NewPath("spec")
	if e := a.Spec.Expires; e != nil && !e.After(d.now()) {
		return field.Invalid(spec.Child("expires"), e.UTC().Format(time.RFC3339), "is in the past; write a later time, or leave it out"), nil
	}
	u := &meshv1alpha1.MeshUpgrade{}
	err := d.reader.Get(ctx, client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.UpgradeRef.Name}, u)
	switch {
	case apierrors.IsNotFound(err):
		return field.NotFound(spec.Child("upgradeRef", "name"), a.Spec.UpgradeRef.Name), nil
	case err != nil:
		return nil, fmt.Errorf("read MeshUpgrade %q: %w", a.Spec.UpgradeRef.Name, err)
	case u.UID != a.Spec.UpgradeRef.UID:
		return field.Invalid(spec.Child("upgradeRef", "uid"), a.Spec.UpgradeRef.UID, fmt.Sprintf(
			"the UID of MeshUpgrade %s is %s: decide the MeshApproval of that one", u.Name, u.UID)), nil
	case !slices.ContainsFunc(u.Spec.Waves, func(w meshv1alpha1.PlannedWave) bool { return w.Name == a.Spec.Wave }):
		return field.NotFound(spec.Child("wave"), a.Spec.Wave), nil
	}
	return nil, nil
}

func refuseDecision(a *meshv1alpha1.MeshApproval, problem *field.Error) error {
	return apierrors.NewInvalid(meshv1alpha1.GroupVersion.WithKind("MeshApproval").GroupKind(), a.Name, field.ErrorList{problem})
}

// permission says whether the user of a request may approve an upgrade of a namespace, and who that is. Without a name: any upgrade.
type permission func(ctx context.Context, namespace, upgrade string) (may bool, user string, err error)

// approvers asks the API server.
func approvers(c client.Writer) permission {
	return func(ctx context.Context, namespace, upgrade string) (bool, string, error) {
		req, err := admission.RequestFromContext(ctx)
		if err != nil {
			return false, "", err
		}
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: req.UserInfo.Username, UID: req.UserInfo.UID, Groups: req.UserInfo.Groups, Extra: map[string]authorizationv1.ExtraValue{},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: meshv1alpha1.VerbApprove, Group: meshv1alpha1.GroupVersion.Group, Version: meshv1alpha1.GroupVersion.Version,
				Resource: "meshupgrades", Namespace: namespace, Name: upgrade,
			},
		}}
		for key, values := range req.UserInfo.Extra {
			review.Spec.Extra[key] = authorizationv1.ExtraValue(values)
		}
		if err := c.Create(ctx, review); err != nil {
			return false, "", fmt.Errorf("ask the API server whether user %q may approve: %w", req.UserInfo.Username, err)
		}
		return review.Status.Allowed, req.UserInfo.Username, nil
	}
}
