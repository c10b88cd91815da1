package preflight

import (
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// covers says whether one of the rules allows the access.
func covers(rules *authorizationv1.SubjectRulesReviewStatus, a access) bool {
	has := func(list []string, what string) bool {
		return slices.Contains(list, what) || slices.Contains(list, "*")
	}
	if a.url != "" {
		return slices.ContainsFunc(rules.NonResourceRules, func(r authorizationv1.NonResourceRule) bool {
			return has(r.Verbs, a.verb) && slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
				prefix, isPrefix := strings.CutSuffix(u, "*")
				return u == a.url || isPrefix && strings.HasPrefix(a.url, prefix)
			})
		})
	}
	resource := a.resource
	if a.subresource != "" {
		resource += "/" + a.subresource
	}
	return slices.ContainsFunc(rules.ResourceRules, func(r authorizationv1.ResourceRule) bool {
		named := len(r.ResourceNames) == 0 || a.name != "" && slices.Contains(r.ResourceNames, a.name)
		return named && has(r.Verbs, a.verb) && has(r.APIGroups, a.group) && has(r.Resources, resource)
	})
}

// split takes a resource and its subresource apart, as rules write them.
func split(resource string) (name, sub string) {
	name, sub, _ = strings.Cut(resource, "/")
	return name, sub
}
