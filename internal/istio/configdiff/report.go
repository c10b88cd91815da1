package configdiff

import (
	"fmt"
	"slices"
	"strings"
)

// Report is what was found for several proxies.
type Report struct {
	found map[Finding][]string
}

// Add takes what was found for one proxy.
func (r *Report) Add(proxy string, findings []Finding) {
	if r.found == nil {
		r.found = map[Finding][]string{}
	}
	for _, f := range findings {
		r.found[f] = append(r.found[f], proxy)
	}
}

// Proxies are those for which something of these classes was found, sorted.
func (r *Report) Proxies(classes []Class) []string {
	var out []string
	for f, proxies := range r.found {
		if slices.Contains(classes, f.Class) {
			out = append(out, proxies...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Confirm forgets what is of these classes and was not found again by a second look.
func (r *Report) Confirm(classes []Class, second *Report) {
	for f := range r.found {
		if !slices.Contains(classes, f.Class) {
			continue
		}
		r.found[f] = slices.DeleteFunc(r.found[f], func(proxy string) bool { return !slices.Contains(second.found[f], proxy) })
		if len(r.found[f]) == 0 {
			delete(r.found, f)
		}
	}
}

// change is the same thing that has happened to many subjects.
type change struct {
	class    Class
	what     string
	subjects []string
	proxies  []string
}

// changes are sorted, the gravest first.
func (r *Report) changes() []change {
	all := make([]Finding, 0, len(r.found))
	for f := range r.found {
		all = append(all, f)
	}
	slices.SortFunc(all, order)
	var out []change
	for _, f := range all {
		if n := len(out); n == 0 || out[n-1].class != f.Class || out[n-1].what != f.What {
			out = append(out, change{class: f.Class, what: f.What})
		}
		last := &out[len(out)-1]
		last.subjects = append(last.subjects, f.Subject)
		last.proxies = append(last.proxies, r.found[f]...)
	}
	for i := range out {
		slices.Sort(out[i].proxies)
		out[i].proxies = slices.Compact(out[i].proxies)
	}
	return out
}

// Count is the number of changes of these classes.
func (r *Report) Count(classes []Class) int {
	n := 0
	for _, c := range r.changes() {
		if slices.Contains(classes, c.class) {
			n++
		}
	}
	return n
}

func (c change) String() string {
	return fmt.Sprintf("%s: %s: %s, seen by %s", c.class, c.what, few(c.subjects), few(c.proxies))
}

// String is all of it, a line for each change.
func (r *Report) String() string {
	var b strings.Builder
	for _, c := range r.changes() {
		fmt.Fprintf(&b, "%s\n", c)
	}
	return b.String()
}

// restShown is how many kinds of differences of other classes a summary names.
const restShown = 5

// Summary spells out what is of these classes, and names the first kinds of the rest with the number of their places, the gravest first.
func (r *Report) Summary(classes []Class) string {
	var parts, rest []string
	for _, c := range r.changes() {
		if slices.Contains(classes, c.class) {
			parts = append(parts, c.String())
		} else {
			rest = append(rest, fmt.Sprintf("%s: %s (%d)", c.class, c.what, len(c.subjects)))
		}
	}
	if more := len(rest) - restShown; more > 0 {
		rest = append(rest[:restShown], fmt.Sprintf("%d more", more))
	}
	if len(rest) > 0 {
		parts = append(parts, "other differences: "+strings.Join(rest, ", "))
	}
	return strings.Join(parts, "; ")
}
