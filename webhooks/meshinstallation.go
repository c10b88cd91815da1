// Package webhooks refuses MeshInstallations for what the CRD's own rules cannot know: which Istio releases and chart
// values there are, and who holds a cluster already. It also refuses what an upgrade cannot be ordered by annotation, and
// the deletion of a mesh that is in use.
//
// An update is refused only for what it changes. Problems that were there before, such as a release that the operator
// no longer ships, are reported by conditions and must not stand in the way of the edit that solves another problem.
package webhooks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/pinning"
	"github.com/meshfleet/meshfleet/internal/plan"
)

// +kubebuilder:webhook:path=/validate-mesh-meshfleet-io-v1alpha1-meshinstallation,mutating=false,failurePolicy=fail,sideEffects=None,groups=mesh.meshfleet.io,resources=meshinstallations,verbs=create;update,versions=v1alpha1,name=vmeshinstallation.meshfleet.io,admissionReviewVersions=v1

// A deletion cannot be taken back, so that one that nobody can judge is refused. config/webhook lets pass without an answer of the operator
// what it would not refuse whatever the members report.
// +kubebuilder:webhook:path=/validate-mesh-meshfleet-io-v1alpha1-meshinstallation,mutating=false,failurePolicy=fail,sideEffects=None,groups=mesh.meshfleet.io,resources=meshinstallations,verbs=delete,versions=v1alpha1,name=vmeshinstallation-deletion.meshfleet.io,admissionReviewVersions=v1

// SetupWithManager serves the webhooks. Given namespaces, MeshInstallations elsewhere are refused, because nobody
// would act on them.
func SetupWithManager(mgr ctrl.Manager, checker charts.Checker, sources pinning.Policy, namespaces ...string) error {
	v := &validator{
		reader: mgr.GetClient(), mayApprove: approvers(mgr.GetClient()), checker: checker, namespaces: namespaces, now: time.Now, sources: sources,
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &meshv1alpha1.MeshInstallation{}).WithValidator(v).Complete(); err != nil {
		return err
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &meshv1alpha1.MeshMember{}).WithValidator(deletions{reader: mgr.GetClient()}).Complete(); err != nil {
		return err
	}
	if err := ctrl.NewWebhookManagedBy(mgr, &meshv1alpha1.MeshUpgrade{}).WithValidator(orders{reader: mgr.GetClient()}).Complete(); err != nil {
		return err
	}
	d := decisions{reader: mgr.GetClient(), mayApprove: v.mayApprove, now: time.Now}
	return ctrl.NewWebhookManagedBy(mgr, &meshv1alpha1.MeshApproval{}).WithDefaulter(d).WithValidator(d).Complete()
}

type validator struct {
	reader     client.Reader
	mayApprove permission
	checker    charts.Checker
	namespaces []string
	now        func() time.Time
	sources    pinning.Policy
}

var _ admission.Validator[*meshv1alpha1.MeshInstallation] = &validator{}

// ValidateCreate checks everything.
func (v *validator) ValidateCreate(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (admission.Warnings, error) {
	return v.validate(ctx, &change{inst: inst}, v.checkIdentity(inst))
}

// ValidateUpdate checks what has changed in the spec. An object that is being deleted can be changed at will.
func (v *validator) ValidateUpdate(ctx context.Context, old, inst *meshv1alpha1.MeshInstallation) (admission.Warnings, error) {
	if !inst.DeletionTimestamp.IsZero() || equality.Semantic.DeepEqual(old.Spec, inst.Spec) {
		return nil, nil
	}
	return v.validate(ctx, &change{old: old, inst: inst}, nil)
}

// ValidateDelete refuses it while the mesh is in use, as its members last reported, unless the spec permits it. Once the deletion has begun,
// finalizers see to the order.
func (v *validator) ValidateDelete(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (admission.Warnings, error) {
	if !plan.IsProtected(inst) {
		return nil, nil
	}
	members, err := v.membersOf(ctx, inst)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	use := plan.InUse(inst, members)
	if use == "" {
		return nil, nil
	}
	return nil, apierrors.NewForbidden(meshv1alpha1.GroupVersion.WithResource("meshinstallations").GroupResource(), inst.Name, fmt.Errorf(
		`%s; to delete the mesh nevertheless, set spec.deletionProtection to Disabled first, in Git if the MeshInstallation is applied from there, or else by: `+
			`kubectl -n %s patch mesh %s --type merge -p '{"spec":{"deletionProtection":"Disabled"}}'`, use, inst.Namespace, inst.Name))
}

// membersOf are the MeshMembers of an installation. Those of namespaces in which the operator does not work cannot be read, so that nothing
// is known of them. They share their memory with the cache.
func (v *validator) membersOf(ctx context.Context, inst *meshv1alpha1.MeshInstallation) ([]meshv1alpha1.MeshMember, error) {
	if !v.isServed(inst.Namespace) {
		return nil, nil
	}
	list := &meshv1alpha1.MeshMemberList{}
	if err := v.reader.List(ctx, list, client.InNamespace(inst.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list MeshMembers: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(m meshv1alpha1.MeshMember) bool { return !mesh.IsMemberOf(&m, inst) }), nil
}

func (v *validator) validate(ctx context.Context, c *change, errs field.ErrorList) (admission.Warnings, error) {
	versionErrs, versionWarnings := checkVersion(c, v.now(), v.sources.Default != "")
	errs = append(errs, versionErrs...)
	errs = append(errs, checkCharts(c, v.sources)...)
	errs = append(errs, checkMetadata(c)...)
	errs = append(errs, checkAPIServerCA(c)...)
	errs = append(errs, checkWaves(c)...)
	errs = append(errs, checkGates(c)...)
	if len(versionErrs) == 0 {
		// Values can only be checked against the charts of a release that exists.
		errs = append(errs, v.checkValues(c)...)
	}
	hubErrs, hubWarnings := checkHub(c)
	errs, warnings := append(errs, hubErrs...), slices.Concat(versionWarnings, hubWarnings, checkHolds(c, v.now()))
	if v.isServed(c.inst.Namespace) {
		clusterErrs, warned, err := v.checkClusters(ctx, c)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		nameErrs, err := v.checkNames(ctx, c)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		requirementErrs, err := v.checkRequirement(ctx, c)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		errs, warnings = slices.Concat(errs, clusterErrs, nameErrs, requirementErrs), append(warnings, warned...)
	}
	if len(errs) > 0 {
		return warnings, apierrors.NewInvalid(meshv1alpha1.GroupVersion.WithKind("MeshInstallation").GroupKind(), c.inst.Name, errs)
	}
	return warnings, nil
}

// isServed says whether the operator works in a namespace. Secrets of others cannot be read.
func (v *validator) isServed(namespace string) bool {
	return len(v.namespaces) == 0 || slices.Contains(v.namespaces, namespace)
}

// checkIdentity checks what can never be changed later.
func (v *validator) checkIdentity(inst *meshv1alpha1.MeshInstallation) field.ErrorList {
	var errs field.ErrorList
	if !v.isServed(inst.Namespace) {
		errs = append(errs, field.NotSupported(field.NewPath("metadata", "namespace"), inst.Namespace, v.namespaces))
	}
	// Objects in members carry both names in one label.
	if length := len(inst.Namespace) + 1 + len(inst.Name); length > validation.LabelValueMaxLength {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), inst.Name, fmt.Sprintf(
			"together with the namespace it has %d characters, and at most %d fit into a label: choose a shorter name",
			length-1, validation.LabelValueMaxLength-1)))
	}
	return errs
}

// checkMetadata checks labels and annotations that are copied to other objects, and selectors of labels.
func checkMetadata(c *change) field.ErrorList {
	var errs field.ErrorList
	for i := range c.inst.Spec.Members {
		m := &c.inst.Spec.Members[i]
		if before := c.before(m.Name); before == nil || !equality.Semantic.DeepEqual(before.Labels, m.Labels) {
			errs = append(errs, metav1validation.ValidateLabels(m.Labels, memberPath(m.Name).Child("labels"))...)
		}
		if before := c.before(m.Name); m.EastWestGateway != nil && (before == nil || !equality.Semantic.DeepEqual(before.EastWestGateway, m.EastWestGateway)) {
			path := memberPath(m.Name).Child("eastWestGateway", "service", "annotations")
			errs = append(errs, apivalidation.ValidateAnnotations(m.EastWestGateway.Service.Annotations, path)...)
		}
	}
	annotations := c.inst.Spec.EastWestGateway.Service.Annotations
	if c.old == nil || !equality.Semantic.DeepEqual(c.old.Spec.EastWestGateway.Service.Annotations, annotations) {
		path := field.NewPath("spec", "eastWestGateway", "service", "annotations")
		errs = append(errs, apivalidation.ValidateAnnotations(annotations, path)...)
	}
	first := c.inst.Spec.DataPlane.Restart.FirstNamespaces
	if c.old == nil || !equality.Semantic.DeepEqual(c.old.Spec.DataPlane.Restart.FirstNamespaces, first) {
		path := field.NewPath("spec", "dataPlane", "restart", "firstNamespaces")
		errs = append(errs, metav1validation.ValidateLabelSelector(first, metav1validation.LabelSelectorValidationOptions{}, path)...)
	}
	return errs
}

// change is an installation and what it was before. old is nil at creation.
type change struct {
	old, inst *meshv1alpha1.MeshInstallation
}

// before is the member of that name as it was, or nil.
func (c *change) before(name string) *meshv1alpha1.Member {
	if c.old == nil {
		return nil
	}
	for i := range c.old.Spec.Members {
		if c.old.Spec.Members[i].Name == name {
			return &c.old.Spec.Members[i]
		}
	}
	return nil
}

// isSourceChanged says whether the charts are to come from elsewhere.
func (c *change) isSourceChanged() bool {
	return c.old != nil && mesh.ChartSource(c.old.Spec.Charts) != mesh.ChartSource(c.inst.Spec.Charts)
}

func (c *change) isVersionChanged() bool {
	return c.old == nil || c.old.Spec.Version != c.inst.Spec.Version
}

func memberPath(name string) *field.Path { return field.NewPath("spec", "members").Key(name) }
