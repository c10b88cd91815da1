package webhooks

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// checkRequirement refuses an edit that takes the requirement of an approval from a wave or from a member, unless the user may approve:
// otherwise whoever edits a mesh could approve his own upgrade by the same edit.
func (v *validator) checkRequirement(ctx context.Context, c *change) (field.ErrorList, error) {
	lifted, err := v.lifted(ctx, c)
	if err != nil || len(lifted) == 0 {
		return nil, err
	}
	may, user, err := v.mayApprove(ctx, c.inst.Namespace, "")
	if err != nil || may {
		return nil, err
	}
	for _, problem := range lifted {
		problem.Detail += fmt.Sprintf("; user %q may not do that: the verb %q on meshupgrades.mesh.meshfleet.io in namespace %q is required, the "+
			"ClusterRole meshfleet-meshapproval-approver has it", user, meshv1alpha1.VerbApprove, c.inst.Namespace)
	}
	return lifted, nil
}

// lifted are the requirements that an edit takes away: those of waves, and those of members that come into another wave. A member that
// comes back before it has left counts as one that had the requirement.
func (v *validator) lifted(ctx context.Context, c *change) (field.ErrorList, error) {
	if c.old == nil {
		return nil, nil
	}
	var errs field.ErrorList
	requiring := slices.DeleteFunc(slices.Clone(c.old.Spec.Upgrade.Waves), func(w meshv1alpha1.Wave) bool { return !isRequired(&w) })
	for i := range requiring {
		name := requiring[i].Name
		if !slices.ContainsFunc(c.inst.Spec.Upgrade.Waves, func(w meshv1alpha1.Wave) bool { return w.Name == name && isRequired(&w) }) {
			errs = append(errs, field.Forbidden(field.NewPath("spec", "upgrade", "waves").Key(name).Child("approval"),
				"the wave requires an approval, and the edit removes the requirement"))
		}
	}
	for i := range c.inst.Spec.Members {
		m := &c.inst.Spec.Members[i]
		if needsApproval(&c.inst.Spec, m) {
			continue
		}
		had := false
		if before := c.before(m.Name); before != nil {
			had = needsApproval(&c.old.Spec, before)
		} else if len(requiring) > 0 {
			isStillThere, err := v.isStillThere(ctx, c.inst, m.Name)
			if err != nil {
				return nil, err
			}
			had = isStillThere
		}
		if had {
			errs = append(errs, field.Forbidden(memberPath(m.Name),
				"an upgrade of the member requires an approval, and the edit moves it to a wave that requires none"))
		}
	}
	return errs, nil
}

// isStillThere says whether a member that was taken out of the spec has not left yet.
func (v *validator) isStillThere(ctx context.Context, inst *meshv1alpha1.MeshInstallation, name string) (bool, error) {
	err := v.reader.Get(ctx, client.ObjectKey{Namespace: inst.Namespace, Name: mesh.MemberName(inst.Name, name)}, &meshv1alpha1.MeshMember{})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read the MeshMember of member %q: %w", name, err)
	}
	return !apierrors.IsNotFound(err), nil
}

func isRequired(w *meshv1alpha1.Wave) bool { return w.Approval == meshv1alpha1.ApprovalRequired }

// needsApproval says whether every wave that a member is in requires an approval. A member in no wave needs none, nor one in several waves
// of which one requires none: such waves start no upgrade, but the next edit may make them valid.
func needsApproval(spec *meshv1alpha1.MeshInstallationSpec, m *meshv1alpha1.Member) bool {
	isSelected, required, rest := false, true, []*meshv1alpha1.Wave{}
	for i := range spec.Upgrade.Waves {
		w := &spec.Upgrade.Waves[i]
		if w.MemberSelector == nil {
			rest = append(rest, w)
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(w.MemberSelector)
		if err != nil || !selector.Matches(labels.Set(m.Labels)) {
			continue
		}
		isSelected, required = true, required && isRequired(w)
	}
	if isSelected {
		return required
	}
	return len(rest) > 0 && !slices.ContainsFunc(rest, func(w *meshv1alpha1.Wave) bool { return !isRequired(w) })
}
