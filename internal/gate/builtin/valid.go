package builtin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// validatedGroups are the API groups that istiod validates.
var validatedGroups = []string{"extensions.istio.io", "networking.istio.io", "security.istio.io", "telemetry.istio.io"}

// maxRejected is how many rejections are enough: an object is kept for each.
const maxRejected = 500

// configValid passes when the revision's validator accepts every object of Istio that the revision will read. What the
// former revision's validator rejects as well was broken before: it is named, and does not stop anything.
func configValid(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	names, err := readyIstiods(ctx, m, m.To)
	if err != nil || len(names) == 0 {
		return gate.NoIstiod(m.To), err
	}
	hook, err := validator(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	r := newReviewer(m, names[0], hook)
	defer r.close()
	kinds, err := validatedKinds(ctx, m)
	if err != nil {
		return gate.Answer{}, err
	}
	if len(kinds) == 0 {
		return gate.Inconclusive("the API server has no CustomResourceDefinition of Istio"), nil
	}
	v := validation{member: m, to: r}
	for _, k := range kinds {
		if len(v.rejected) >= maxRejected {
			break
		}
		if err := v.checkKind(ctx, k); err != nil {
			return gate.Answer{}, err
		}
	}
	if err := v.askFormer(ctx); err != nil {
		return gate.Answer{}, err
	}
	return v.answer(), nil
}

// validatedKind is a kind of Istio in the version that the API server prefers.
type validatedKind struct {
	kind     schema.GroupVersionKind
	resource schema.GroupVersionResource
}

// validatedKinds finds the kinds by the names of their definitions, which contain plural and group.
func validatedKinds(ctx context.Context, m *gate.Subject) ([]validatedKind, error) {
	var kinds []validatedKind
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinitionList"})
	for {
		if err := m.Client.List(ctx, list, client.Limit(gate.PageSize), client.Continue(list.Continue)); err != nil {
			return nil, fmt.Errorf("list CustomResourceDefinitions: %w", err)
		}
		for i := range list.Items {
			plural, group, _ := strings.Cut(list.Items[i].Name, ".")
			if !slices.Contains(validatedGroups, group) {
				continue
			}
			gvr, err := m.Client.RESTMapper().ResourceFor(schema.GroupVersionResource{Group: group, Resource: plural})
			if err != nil {
				return nil, fmt.Errorf("find resource %s: %w", list.Items[i].Name, err)
			}
			gvk, err := m.Client.RESTMapper().KindFor(gvr)
			if err != nil {
				return nil, fmt.Errorf("find the kind of %s: %w", list.Items[i].Name, err)
			}
			kinds = append(kinds, validatedKind{gvk, gvr})
		}
		if list.Continue == "" {
			return kinds, nil
		}
	}
}

// validation is one run over all objects.
type validation struct {
	member   *gate.Subject
	to       reviewer
	checked  int
	rejected []rejection
	excused  []string
}

type rejection struct {
	kind   validatedKind
	object *unstructured.Unstructured
	why    string
}

func (v *validation) checkKind(ctx context.Context, k validatedKind) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.kind.GroupVersion().WithKind(k.kind.Kind + "List"))
	for {
		if err := v.member.Client.List(ctx, list, client.Limit(gate.PageSize), client.Continue(list.GetContinue())); err != nil {
			return fmt.Errorf("list %s: %w", k.resource.GroupResource(), err)
		}
		for i := range list.Items {
			if err := v.check(ctx, k, &list.Items[i]); err != nil {
				return err
			}
		}
		if list.GetContinue() == "" || len(v.rejected) >= maxRejected {
			return nil
		}
	}
}

func (v *validation) check(ctx context.Context, k validatedKind, o *unstructured.Unstructured) error {
	if rev, ok := o.GetLabels()[istio.RevisionLabel]; ok && rev != v.member.To {
		// Istiod reads objects with this label only if it is its own revision.
		return nil
	}
	o.SetManagedFields(nil)
	resp, err := v.to.create(ctx, metav1.GroupVersionKind(k.kind), metav1.GroupVersionResource(k.resource), o)
	if err != nil {
		return fmt.Errorf("ask istiod to validate %s: %w", nameOf(o), err)
	}
	v.checked++
	if !resp.Allowed {
		v.rejected = append(v.rejected, rejection{k, o.DeepCopy(), refusal(resp)})
	}
	return nil
}

// askFormer sets aside what the former revision rejects too.
func (v *validation) askFormer(ctx context.Context) error {
	if len(v.rejected) == 0 || v.member.From == "" {
		return nil
	}
	names, err := readyIstiods(ctx, v.member, v.member.From)
	if err != nil || len(names) == 0 {
		return err
	}
	hook, err := validator(ctx, v.member, v.member.From)
	if err != nil {
		return err
	}
	former := newReviewer(v.member, names[0], hook)
	defer former.close()
	return v.excuse(ctx, former)
}

func (v *validation) excuse(ctx context.Context, former reviewer) error {
	var remain []rejection
	for _, x := range v.rejected {
		resp, err := former.create(ctx, metav1.GroupVersionKind(x.kind.kind), metav1.GroupVersionResource(x.kind.resource), x.object)
		if err != nil {
			return fmt.Errorf("ask istiod of revision %s to validate %s: %w", v.member.From, nameOf(x.object), err)
		}
		if resp.Allowed {
			remain = append(remain, x)
		} else {
			v.excused = append(v.excused, nameOf(x.object))
		}
	}
	v.rejected = remain
	return nil
}

func (v *validation) answer() gate.Answer {
	var bad []string
	for _, x := range v.rejected {
		bad = append(bad, nameOf(x.object)+": "+mesh.Shorten(x.why, 200))
	}
	switch {
	case len(bad) > 0:
		return gate.Fail("revision %s rejects %d of %s: %s", v.member.To, len(bad), gate.Count(v.checked, "object"), mesh.Capped(bad))
	case len(v.excused) > 0:
		return gate.Pass("%s valid; revision %s rejects these too: %s",
			gate.Count(v.checked-len(v.excused), "object"), v.member.From, mesh.Capped(v.excused))
	}
	return gate.Pass("%s valid", gate.Count(v.checked, "object"))
}

func nameOf(o *unstructured.Unstructured) string {
	if o.GetNamespace() == corev1.NamespaceAll {
		return o.GetKind() + " " + o.GetName()
	}
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}
