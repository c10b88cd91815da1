package webhooks

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// checkNames refuses a new member whose MeshMember would have the name of another mesh's: the two names that make it can
// be cut in several places, as `a-b-c` into `a` and `b-c` or `a-b` and `c`. So would its certificate and credential.
func (v *validator) checkNames(ctx context.Context, c *change) (field.ErrorList, error) {
	taken, err := v.namesOfOthers(ctx, client.ObjectKeyFromObject(c.inst))
	if err != nil {
		return nil, err
	}
	var errs field.ErrorList
	for i := range c.inst.Spec.Members {
		m := &c.inst.Spec.Members[i]
		name := mesh.MemberName(c.inst.Name, m.Name)
		if other, ok := taken[name]; ok && c.before(m.Name) == nil {
			errs = append(errs, field.Invalid(memberPath(m.Name).Child("name"), m.Name, fmt.Sprintf(
				"its MeshMember would be called %q, as that of member %q of MeshInstallation %q is: choose another name",
				name, other.member, other.installation)))
		}
	}
	return errs, nil
}

// namesOfOthers are the members of other installations of the namespace by the names of their MeshMembers, those
// included that are not cleaned up yet.
func (v *validator) namesOfOthers(ctx context.Context, self types.NamespacedName) (map[string]claim, error) {
	installations, members := &meshv1alpha1.MeshInstallationList{}, &meshv1alpha1.MeshMemberList{}
	if err := v.reader.List(ctx, installations, client.InNamespace(self.Namespace)); err != nil {
		return nil, fmt.Errorf("list MeshInstallations: %w", err)
	}
	if err := v.reader.List(ctx, members, client.InNamespace(self.Namespace), client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return nil, fmt.Errorf("list MeshMembers: %w", err)
	}
	taken := map[string]claim{}
	for i := range members.Items {
		if m := &members.Items[i]; m.Spec.Installation != self.Name {
			key := types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.Installation}
			taken[m.Name] = claim{installation: key, member: m.Spec.Cluster}
		}
	}
	for i := range installations.Items {
		key := client.ObjectKeyFromObject(&installations.Items[i])
		for _, m := range installations.Items[i].Spec.Members {
			if key != self {
				taken[mesh.MemberName(key.Name, m.Name)] = claim{installation: key, member: m.Name}
			}
		}
	}
	return taken, nil
}
