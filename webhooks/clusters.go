package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// claim is a member and what its cluster is known by.
type claim struct {
	installation types.NamespacedName
	member       string
	changed      bool
	marks        marks
}

// checkClusters refuses a cluster that is a member twice, in this installation or in another. Control planes of two
// meshes in one cluster would fight over its webhooks and CRDs, whatever their namespaces. Two installations that are
// created at the same moment get past this; the members' conditions tell then.
func (v *validator) checkClusters(ctx context.Context, c *change) (field.ErrorList, admission.Warnings, error) {
	if !slices.ContainsFunc(c.inst.Spec.Members, c.isClusterChanged) {
		return nil, nil, nil
	}
	others, leaving, id, err := v.claimsOfOthers(ctx, c.inst)
	if err != nil {
		return nil, nil, err
	}
	var (
		errs     field.ErrorList
		warnings admission.Warnings
		mine     []claim
	)
	for _, m := range c.inst.Spec.Members {
		known, problem, err := id.marks(ctx, c.inst.Namespace, m.ClusterRef)
		if err != nil {
			return nil, nil, err
		}
		now := claim{installation: client.ObjectKeyFromObject(c.inst), member: m.Name, changed: c.isClusterChanged(m), marks: known}
		path := memberPath(m.Name).Child("clusterRef")
		if now.changed && problem != "" {
			warnings = append(warnings, fmt.Sprintf("%s: %s", path, problem))
		}
		if now.changed {
			errs = append(errs, refuse(path, now, others)...)
		}
		for _, before := range mine {
			if shared := now.marks.shared(before.marks); shared != "" && (now.changed || before.changed) {
				errs = append(errs, field.Invalid(path, m.Name, fmt.Sprintf(
					"is the same cluster as member %q (%s): name another cluster, or remove one of the two", before.member, shared)))
				break
			}
		}
		for _, gone := range leaving {
			if shared := now.marks.shared(gone.marks); shared != "" && now.changed {
				warnings = append(warnings, fmt.Sprintf(
					"%s: is the cluster of member %q (%s), which must be removed first: its control plane goes before the new one comes",
					path, gone.member, shared))
			}
		}
		mine = append(mine, now)
	}
	return errs, warnings, nil
}

func isMember(inst *meshv1alpha1.MeshInstallation, name string) bool {
	return slices.ContainsFunc(inst.Spec.Members, func(m meshv1alpha1.Member) bool { return m.Name == name })
}

func (c *change) isClusterChanged(m meshv1alpha1.Member) bool {
	before := c.before(m.Name)
	return before == nil || !equality.Semantic.DeepEqual(before.ClusterRef, m.ClusterRef)
}

func refuse(path *field.Path, now claim, others []claim) field.ErrorList {
	for _, other := range others {
		if shared := now.marks.shared(other.marks); shared != "" {
			return field.ErrorList{field.Invalid(path, now.member, fmt.Sprintf(
				"is the cluster of member %q of MeshInstallation %q (%s): a cluster belongs to one mesh, so remove it there first or name another cluster",
				other.member, other.installation, shared))}
		}
	}
	return nil
}

// claimsOfOthers returns what other installations hold, including members that left but are not cleaned up yet, and
// the members that are leaving this one.
func (v *validator) claimsOfOthers(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (others, leaving []claim, id *identifier, err error) {
	var installations meshv1alpha1.MeshInstallationList
	if err := v.reader.List(ctx, &installations); err != nil {
		return nil, nil, nil, fmt.Errorf("list MeshInstallations: %w", err)
	}
	var members meshv1alpha1.MeshMemberList
	if err := v.reader.List(ctx, &members, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return nil, nil, nil, fmt.Errorf("list MeshMembers: %w", err)
	}
	id = newIdentifier(v.reader)
	for i := range members.Items {
		if err := id.learn(ctx, &members.Items[i]); err != nil {
			return nil, nil, nil, err
		}
	}
	add := func(to *[]claim, installation types.NamespacedName, member string, ref meshv1alpha1.ClusterRef) error {
		known, _, err := id.marks(ctx, installation.Namespace, ref)
		*to = append(*to, claim{installation: installation, member: member, marks: known})
		return err
	}
	self := client.ObjectKeyFromObject(inst)
	for _, other := range installations.Items {
		if key := client.ObjectKeyFromObject(&other); key != self {
			for _, m := range other.Spec.Members {
				if err := add(&others, key, m.Name, m.ClusterRef); err != nil {
					return nil, nil, nil, err
				}
			}
		}
	}
	for _, m := range members.Items {
		key, to := types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.Installation}, &others
		if key == self {
			if isMember(inst, m.Spec.Cluster) {
				continue
			}
			to = &leaving
		}
		if err := add(to, key, m.Spec.Cluster, m.Spec.ClusterRef); err != nil {
			return nil, nil, nil, err
		}
	}
	slices.SortFunc(others, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.installation.String(), b.installation.String()), cmp.Compare(a.member, b.member))
	})
	return others, leaving, id, nil
}
