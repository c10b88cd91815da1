package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// atOnce bounds the reviews that are under way at the same time.
const atOnce = 8

// access is one thing that the credential must be allowed.
type access struct {
	group, resource, subresource, namespace, name, verb string
	// url instead of group and resource.
	url string
}

func (a access) String() string {
	what := a.resource
	if a.group != "" {
		what += "." + a.group
	}
	if a.subresource != "" {
		what += "/" + a.subresource
	}
	if a.url != "" {
		what = a.url
	}
	if a.name != "" {
		what += " " + a.name
	}
	return a.verb + " " + what
}

// permissions asks whether the credential may do what the objects need: make, change and delete them, watch their kinds, restart
// workloads, and hold what the roles among the objects grant, because the API server lets nobody grant more than that.
func permissions(ctx context.Context, m *Subject) (Finding, error) {
	needed, err := m.needed()
	if err != nil {
		return Finding{}, err
	}
	missing, err := m.missing(ctx, needed)
	if err != nil {
		return Finding{}, err
	}
	if len(missing) == 0 {
		return Finding{Note: fmt.Sprintf("%d permissions are there", len(needed))}, nil
	}
	return Finding{Problems: []string{"the credential may not " + some(missing, ", ") +
		": apply config/member-rbac of this release of the operator in the member, and grant what your own values add"}}, nil
}

// needed are the permissions, sorted.
func (m *Subject) needed() ([]access, error) {
	all := map[access]bool{
		// Workloads are anywhere.
		{group: "apps", resource: "deployments", verb: "patch"}:  true,
		{group: "apps", resource: "statefulsets", verb: "patch"}: true,
		{group: "apps", resource: "daemonsets", verb: "patch"}:   true,
		// What names a revision keeps it.
		{group: "batch", resource: "cronjobs", verb: "list"}: true,
		{group: "batch", resource: "jobs", verb: "list"}:     true,
		// Istiod is asked through a tunnel.
		{resource: "pods", subresource: "portforward", namespace: m.Namespace, verb: "create"}: true,
	}
	// Certificates, tokens and remote secrets are written in that namespace only.
	for _, verb := range []string{"create", "patch", "delete"} {
		all[access{resource: "secrets", namespace: m.Namespace, verb: verb}] = true
	}
	if m.Evicts {
		all[access{resource: "pods", subresource: "eviction", verb: "create"}] = true
	}
	if err := m.watches(all); err != nil {
		return nil, err
	}
	for _, o := range m.After {
		mapping, err := m.Client.RESTMapper().RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		if err != nil {
			return nil, fmt.Errorf("find the resource of %s: %w", identityOf(o), err)
		}
		verbs := []string{"get", "create", "patch", "delete"}
		if o.GetKind() == "CustomResourceDefinition" {
			// They are never deleted.
			verbs = verbs[:3]
		}
		a := access{group: mapping.Resource.Group, resource: mapping.Resource.Resource}
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			a.namespace = o.GetNamespace()
		}
		for _, a.verb = range verbs {
			all[a] = true
		}
		if err := granted(o, all); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b access) int {
		return cmp.Or(cmp.Compare(a.String(), b.String()), cmp.Compare(a.namespace, b.namespace))
	}), nil
}

// watches adds what the watches of the operator need. A kind that the member does not have yet is not watched either.
func (m *Subject) watches(all map[access]bool) error {
	for _, kind := range m.Watched {
		gvk, err := m.Client.GroupVersionKindFor(kind)
		if err != nil {
			return fmt.Errorf("find the kind of %T: %w", kind, err)
		}
		mapping, err := m.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find the resource of %s: %w", gvk.Kind, err)
		}
		for _, verb := range []string{"list", "watch"} {
			all[access{group: mapping.Resource.Group, resource: mapping.Resource.Resource, verb: verb}] = true
		}
	}
	return nil
}

// granted adds what a role grants.
func granted(o *unstructured.Unstructured, all map[access]bool) error {
	if o.GetKind() != "Role" && o.GetKind() != "ClusterRole" {
		return nil
	}
	role := rbacv1.ClusterRole{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
		return fmt.Errorf("read %s: %w", identityOf(o), err)
	}
	for _, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			for _, url := range rule.NonResourceURLs {
				all[access{url: url, verb: verb}] = true
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range orNone(rule.ResourceNames) {
						a := access{group: group, namespace: o.GetNamespace(), name: name, verb: verb}
						a.resource, a.subresource = split(resource)
						all[a] = true
					}
				}
			}
		}
	}
	return nil
}

func orNone(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// elsewhere is no namespace: Kubernetes keeps names that begin with kube- for itself. What is allowed there is allowed everywhere.
const elsewhere = "kube-elsewhere"

// missing asks first for everything that is allowed in the control plane's namespace, and everywhere, in two calls, and then for each
// thing that is not in the answers: they may be incomplete. A Role of that namespace allows nothing in others.
func (m *Subject) missing(ctx context.Context, needed []access) ([]string, error) {
	rules := map[string]*authorizationv1.SubjectRulesReviewStatus{}
	for _, namespace := range []string{m.Namespace, elsewhere} {
		review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
		if err := m.Client.Create(ctx, review); err != nil {
			return nil, fmt.Errorf("ask for the permissions of the credential: %w", err)
		}
		rules[namespace] = &review.Status
	}
	var (
		mu      sync.Mutex
		missing []string
		errs    []error
		wg      sync.WaitGroup
		slots   = make(chan struct{}, atOnce)
	)
	for _, a := range needed {
		known := rules[elsewhere]
		if a.namespace == m.Namespace {
			known = rules[m.Namespace]
		}
		if covers(known, a) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			allowed, err := m.isAllowed(ctx, a)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			if err == nil && !allowed {
				text := a.String()
				if a.namespace != "" {
					text += " in namespace " + a.namespace
				}
				missing = append(missing, text)
			}
		})
	}
	wg.Wait()
	return missing, errors.Join(errs...)
}

func (m *Subject) isAllowed(ctx context.Context, a access) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{}
	if a.url != "" {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.url, Verb: a.verb}
	} else {
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: a.namespace, Verb: a.verb, Group: a.group, Resource: a.resource, Subresource: a.subresource, Name: a.name,
		}
	}
	if err := m.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether the credential may %s: %w", a, err)
	}
	return review.Status.Allowed, nil
}
