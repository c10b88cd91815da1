package version

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryMinorIsComplete reads every fact, as a caller might.
func TestEveryMinorIsComplete(t *testing.T) {
	names := make([]string, 0, len(minors))
	for i := range minors {
		m := &minors[i]
		names = append(names, m.name+".0")
		r := m.release(0)
		if m.isUntested != (len(m.packaged) == 0) || m.isUntested != (m.kubernetes == [2]string{}) {
			t.Errorf("%s: untested %v, %d patches in the image, Kubernetes %v", m.name, m.isUntested, len(m.packaged), m.kubernetes)
		}
		if m.maxJump == 0 || len(m.compatibility) == 0 {
			t.Errorf("%s: jumps over %d minor versions, compatible with %v", m.name, m.maxJump, m.compatibility)
		}
		if m.endOfSupport != "" && r.EndOfSupport().IsZero() {
			t.Errorf("%s: the end of support %q is no day", m.name, m.endOfSupport)
		}
		for _, v := range m.kubernetes {
			if m.isUntested {
				continue
			}
			if err := (Release{MinKubernetes: "1.0"}).CheckKubernetes(v); err != nil || Compare(v, m.kubernetes[1]) > 0 {
				t.Errorf("%s: Kubernetes %v: %v", m.name, m.kubernetes, err)
			}
		}
		for _, d := range m.defects {
			if u, err := url.Parse(d.source); err != nil || u.Host == "" || d.problem == "" {
				t.Errorf("%s: %q has the source %q: %v", m.name, d.problem, d.source, err)
			}
		}
	}
	if !slices.IsSortedFunc(names, Compare) {
		t.Errorf("minor versions are not ordered: %v", names)
	}
}

// TestOf expects facts of patches that are not in the image, and none of strings that are no release.
func TestOf(t *testing.T) {
	for version, misreads := range map[string]bool{"1.28.3": false, "1.29.0": true, "1.29.1": true, "1.29.2": false, "1.29.99": false} {
		r, ok := Of(version)
		if !ok || r.Version != version || r.MisreadsPeerTrustDomain != misreads || !r.ReadsPeerSecrets {
			t.Errorf("%s: %v, %+v; want MisreadsPeerTrustDomain to be %v", version, ok, r, misreads)
		}
	}
	for _, version := range []string{"", "1.29", "v1.29.1", "1.29.1-alpha", "1.29.1+fips", "1.2.1", "2.29.1", "latest"} {
		if r, ok := Of(version); ok {
			t.Errorf("%q is known: %+v", version, r)
		}
	}
}

func TestPatches(t *testing.T) {
	gap := patches{{0, 2}, {4, 6}}
	cases := []struct {
		patches patches
		patch   uint64
		has     bool
		cure    uint64
	}{
		{all, 0, true, 0}, {all, 99, true, 0}, {nil, 0, false, 0}, {before(2), 1, true, 2}, {before(2), 2, false, 0},
		{gap, 1, true, 2}, {gap, 3, false, 0}, {gap, 4, true, 6}, {gap, 6, false, 0}, {patches{{3, 0}}, 2, false, 0}, {patches{{3, 0}}, 3, true, 0},
	}
	for _, c := range cases {
		if has, cure := c.patches.has(c.patch), c.patches.cure(c.patch); has != c.has || cure != c.cure {
			t.Errorf("patch %d of %v: %v, cure %d; want %v and %d", c.patch, c.patches, has, cure, c.has, c.cure)
		}
	}
}

func TestConcerns(t *testing.T) {
	m := minor{
		name: "1.40", endOfSupport: "2030-05-31", maxJump: 2,
		defects: []defect{{before(3), "loses endpoints", "https://example.com/1"}, {patches{{5, 0}}, "is slow", "https://example.com/2"}},
	}
	lastDay := time.Date(2030, 5, 31, 23, 59, 59, 0, time.UTC)
	cases := map[string]struct {
		patch uint64
		now   time.Time
		want  Concern
		names []string
	}{
		"supported, without defect":    {patch: 3, now: lastDay},
		"a defect with a cure":         {patch: 2, now: lastDay, want: ConcernDefect, names: []string{"Istio 1.40.2 loses endpoints: use 1.40.3 or newer (https://example.com/1)"}},
		"a defect without a cure":      {patch: 5, now: lastDay, want: ConcernDefect, names: []string{"Istio 1.40.5 is slow: upgrade to a newer minor version (https://example.com/2)"}},
		"support has ended":            {patch: 3, now: lastDay.Add(time.Second), want: ConcernUnsupported, names: []string{"1.40 ended on 2030-05-31"}},
		"support has ended, and worse": {patch: 0, now: lastDay.AddDate(1, 0, 0), want: ConcernUnsupported, names: []string{"ended on 2030-05-31", "loses endpoints"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			kind, got := m.release(c.patch).Concerns(c.now)
			if kind != c.want || len(got) != len(c.names) {
				t.Fatalf("concerns are %q, %q, want %q and %q", kind, got, c.want, c.names)
			}
			for i, want := range c.names {
				if !strings.Contains(got[i], want) {
					t.Errorf("%q does not name %q", got[i], want)
				}
			}
		})
	}
	m.isUntested = true
	if kind, got := m.release(3).Concerns(lastDay); kind != ConcernUntested || len(got) != 1 || !strings.Contains(got[0], "Istio 1.40 was never run") {
		t.Errorf("an untested minor version has concerns %q, %q", kind, got)
	}
	if kind, got := m.release(2).Concerns(lastDay); kind != ConcernDefect || len(got) != 2 {
		t.Errorf("an untested release with a defect has concerns %q, %q", kind, got)
	}
	m.isUntested = false
	m.endOfSupport = ""
	if kind, got := m.release(3).Concerns(lastDay.AddDate(9, 0, 0)); kind != "" || len(got) > 0 || !m.release(3).EndOfSupport().IsZero() {
		t.Errorf("support without an end has concerns %q, %q", kind, got)
	}
}

func TestKubernetesConcern(t *testing.T) {
	r := Release{Version: "1.40.0", kubernetes: [2]string{"1.31", "1.35"}}
	if got := (Release{}).KubernetesConcern("v1.30.0"); got != "" {
		t.Errorf("a release that is not known: %q", got)
	}
	for version, isConcern := range map[string]bool{
		"v1.30.9": true, "v1.31.0": false, "v1.35.2-gke.1": false, "v1.36.0": true, "v1.9.0": true, "1.100": true, "": false, "unknown": false,
	} {
		if got := r.KubernetesConcern(version); (got != "") != isConcern {
			t.Errorf("Kubernetes %q: %q, want a concern: %v", version, got, isConcern)
		}
	}
}
