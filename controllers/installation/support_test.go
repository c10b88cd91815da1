package installation

import (
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
)

func TestJudgeReleases(t *testing.T) {
	supported, over := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	running := func(name, kubernetes string, versions ...string) meshv1alpha1.MeshMember {
		m := meshv1alpha1.MeshMember{}
		m.Spec.Cluster, m.Status.KubernetesVersion = name, kubernetes
		for _, v := range versions {
			m.Spec.Revisions = append(m.Spec.Revisions, meshv1alpha1.Revision{Version: v})
		}
		return m
	}
	cases := map[string]struct {
		members []meshv1alpha1.MeshMember
		now     time.Time
		reason  string
		names   []string
	}{
		"nothing speaks against it": {
			members: []meshv1alpha1.MeshMember{running("east", "v1.33.1", "1.29.7")}, now: supported,
			reason: meshv1alpha1.ReasonReady, names: []string{"upstream supports Istio 1.29.7"},
		},
		"a mesh without members is judged by its spec": {now: supported, reason: meshv1alpha1.ReasonKnownDefect, names: []string{"Istio 1.28.3"}},
		"support has ended, of one of two": {
			members: []meshv1alpha1.MeshMember{running("east", "v1.33.1", "1.28.10", "1.29.7"), running("west", "v1.33.1", "1.29.7")},
			now:     time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), reason: meshv1alpha1.ReasonEndOfSupport, names: []string{"Istio 1.28 ended on 2026-06-28"},
		},
		"a defect of a patch": {
			members: []meshv1alpha1.MeshMember{running("east", "v1.33.1", "1.29.6")}, now: supported,
			reason: meshv1alpha1.ReasonKnownDefect, names: []string{"use 1.29.7 or newer"},
		},
		"a release that is not known": {
			members: []meshv1alpha1.MeshMember{running("east", "v1.33.1", "1.7.3")}, now: over,
			reason: meshv1alpha1.ReasonReleaseUnknown, names: []string{"1.7.3"},
		},
		"Kubernetes is too new for upstream": {
			members: []meshv1alpha1.MeshMember{running("east", "v1.36.3", "1.29.7"), running("west", "v1.36.0", "1.29.7"), running("south", "v1.35.0", "1.29.7")}, now: supported,
			reason: meshv1alpha1.ReasonKubernetesUnsupported, names: []string{"east, west run Kubernetes 1.36", "1.31 to 1.35"},
		},
		"the gravest is the reason": {
			members: []meshv1alpha1.MeshMember{running("east", "v1.40.0", "1.7.3", "1.28.10")}, now: over,
			reason: meshv1alpha1.ReasonEndOfSupport, names: []string{"1.7.3", "1.28", "Kubernetes 1.40", "ISTIO-SECURITY-2026-006"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := &meshv1alpha1.MeshInstallation{Spec: meshv1alpha1.MeshInstallationSpec{Version: "1.28.3"}}
			got := judgeReleases(versionsOf(inst, c.members), c.members, c.now)
			if got.Reason != c.reason || (got.Kind == phase.Done) != (c.reason == meshv1alpha1.ReasonReady) {
				t.Errorf("reason is %s (%v), want %s", got.Reason, got.Kind, c.reason)
			}
			for _, want := range c.names {
				if !strings.Contains(got.Text(), want) {
					t.Errorf("message does not name %q: %s", want, got.Text())
				}
			}
		})
	}
}
