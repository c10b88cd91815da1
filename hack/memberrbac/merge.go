package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// target is what verbs apply to.
type target struct {
	group, resource string
	names           string // resource names, joined by commas; empty for all
	url             string // instead of group and resource
}

// merge joins rules into the smallest readable list: one rule per API group and set of verbs, sorted. It refuses
// wildcards and the verbs by which a holder can grant itself more.
func merge(rules []rbacv1.PolicyRule) ([]rbacv1.PolicyRule, error) {
	verbs := map[target]map[string]bool{}
	for _, r := range rules {
		for _, t := range targets(r) {
			if verbs[t] == nil {
				verbs[t] = map[string]bool{}
			}
			for _, v := range r.Verbs {
				verbs[t][v] = true
			}
		}
	}
	var merged []rbacv1.PolicyRule
	index := map[string]int{}
	for _, t := range slices.SortedFunc(maps.Keys(verbs), compare) {
		sorted := slices.Sorted(maps.Keys(verbs[t]))
		if err := check(t, sorted); err != nil {
			return nil, err
		}
		key := strings.Join([]string{t.group, t.names, fmt.Sprint(t.url != ""), strings.Join(sorted, ",")}, "|")
		i, found := index[key]
		if !found {
			i = len(merged)
			index[key] = i
			merged = append(merged, rbacv1.PolicyRule{Verbs: sorted})
		}
		extend(&merged[i], t)
	}
	return merged, nil
}

// beyond is what of the rules held does not contain.
func beyond(rules, held []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	has := map[target]map[string]bool{}
	for _, r := range held {
		for _, t := range targets(r) {
			if has[t] == nil {
				has[t] = map[string]bool{}
			}
			for _, v := range r.Verbs {
				has[t][v] = true
			}
		}
	}
	var out []rbacv1.PolicyRule
	for _, r := range rules {
		for _, t := range targets(r) {
			all := t
			all.names = ""
			verbs := slices.DeleteFunc(slices.Clone(r.Verbs), func(v string) bool { return has[t][v] || has[all][v] })
			if len(verbs) == 0 {
				continue
			}
			rule := rbacv1.PolicyRule{Verbs: verbs}
			extend(&rule, t)
			out = append(out, rule)
		}
	}
	return out
}

func targets(r rbacv1.PolicyRule) []target {
	var out []target
	for _, u := range r.NonResourceURLs {
		out = append(out, target{url: u})
	}
	names := strings.Join(slices.Sorted(slices.Values(r.ResourceNames)), ",")
	for _, g := range r.APIGroups {
		for _, res := range r.Resources {
			out = append(out, target{group: g, resource: res, names: names})
		}
	}
	return out
}

func extend(r *rbacv1.PolicyRule, t target) {
	if t.url != "" {
		r.NonResourceURLs = append(r.NonResourceURLs, t.url)
		return
	}
	r.APIGroups = []string{t.group}
	r.Resources = append(r.Resources, t.resource)
	if t.names != "" {
		r.ResourceNames = strings.Split(t.names, ",")
	}
}

func check(t target, verbs []string) error {
	for _, s := range append([]string{t.group, t.resource, t.url}, verbs...) {
		if strings.Contains(s, "*") {
			return fmt.Errorf("wildcard in the rule for %q in group %q: it must be spelled out", t.resource, t.group)
		}
	}
	for _, v := range []string{"escalate", "bind", "impersonate"} {
		if slices.Contains(verbs, v) {
			return fmt.Errorf("verb %q for %q in group %q would let the credential grant itself more", v, t.resource, t.group)
		}
	}
	return nil
}

func compare(a, b target) int {
	for _, c := range []int{
		strings.Compare(a.group, b.group), strings.Compare(a.url, b.url), strings.Compare(a.resource, b.resource),
	} {
		if c != 0 {
			return c
		}
	}
	return strings.Compare(a.names, b.names)
}
