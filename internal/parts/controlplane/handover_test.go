package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// ordered is a member on its way from 1.28.3 to 1.29.1.
func ordered(stage meshv1alpha1.Stage) *meshv1alpha1.MeshMemberSpec {
	from, to := meshv1alpha1.Revision{Name: "1-28-3", Version: "1.28.3"}, meshv1alpha1.Revision{Name: "1-29-1", Version: "1.29.1"}
	m := testutil.Member("east", at("1.28.3"), func(m *meshv1alpha1.MeshMember) {
		m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: "u", From: from, To: to, Stage: stage}
	})
	plan.Content(&m.Spec, from, to, stage)
	return &m.Spec
}

// writers are the revisions whose istiod may write what is run for Gateways.
func writers(t *testing.T, m *meshv1alpha1.MeshMemberSpec) []string {
	t.Helper()
	var out []string
	for i := range m.Revisions {
		c, err := From(library(t)).Revision(m, &m.Revisions[i])
		if err != nil {
			t.Fatal(err)
		}
		role := clusterRole(c, gatewayRole+m.Revisions[i].Name)
		if role == nil {
			t.Fatalf("revision %s has no role for gateways", m.Revisions[i].Name)
		}
		if text := fmt.Sprint(role.Object["rules"]); strings.Count(text, "list") < 5 {
			t.Errorf("revision %s does not read all that it has made: %s", m.Revisions[i].Name, text)
		}
		if mayPatchDeployments(c) {
			out = append(out, m.Revisions[i].Name)
		}
	}
	return out
}

// mayPatchDeployments looks at all roles of a revision.
func mayPatchDeployments(c apply.Component) bool {
	for _, o := range c.Objects {
		rules, _ := o.Object["rules"].([]any)
		for _, r := range rules {
			rule, _ := r.(map[string]any)
			if strings.Contains(fmt.Sprint(rule["resources"]), "deployments") && strings.Contains(fmt.Sprint(rule["verbs"]), "patch") {
				return true
			}
		}
	}
	return false
}

func clusterRole(c apply.Component, prefix string) *unstructured.Unstructured {
	i := slices.IndexFunc(c.Objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "ClusterRole" && strings.HasPrefix(o.GetName(), prefix)
	})
	if i < 0 {
		return nil
	}
	return c.Objects[i]
}

func TestHandover(t *testing.T) {
	const from, to = "1-28-3", "1-29-1"
	tests := map[meshv1alpha1.Stage]struct {
		leaving string
		writers []string
	}{
		meshv1alpha1.StagePreflight: {writers: []string{from}},
		meshv1alpha1.StageInstall:   {writers: []string{from, to}},
		meshv1alpha1.StageGateways:  {writers: []string{from, to}},
		meshv1alpha1.StageWorkloads: {leaving: from, writers: []string{to}},
		meshv1alpha1.StageSoak:      {writers: []string{to}},
		meshv1alpha1.StageRetire:    {writers: []string{to}},
		meshv1alpha1.StageRollback:  {leaving: to, writers: []string{from}},
		meshv1alpha1.StageDiscard:   {writers: []string{from}},
	}
	for stage, want := range tests {
		t.Run(string(stage), func(t *testing.T) {
			m := ordered(stage)
			if got := Leaving(m); got != want.leaving {
				t.Errorf("workloads leave %q, want %q", got, want.leaving)
			}
			if diff := cmp.Diff(want.writers, writers(t, m)); diff != "" {
				t.Errorf("revisions that write (-want +got):\n%s", diff)
			}
		})
	}
	if got := Leaving(&testutil.Member("east").Spec); got != "" {
		t.Errorf("without an upgrade workloads leave %q", got)
	}
	unknown := ordered(meshv1alpha1.StageWorkloads)
	unknown.Revisions[0].Version = "1.2.3"
	if got := Leaving(unknown); got != from {
		t.Errorf("a release that is not known may forget Gateways, and the tags stay at %q, want %q", got, from)
	}
}

func TestServicesOfTagsStayWithTheKeeper(t *testing.T) {
	m := ordered(meshv1alpha1.StageWorkloads)
	for keeper, want := range map[string]map[string]string{
		"": {"MutatingWebhookConfiguration default": "1-29-1", "MutatingWebhookConfiguration prod": "1-29-1",
			"Service default": "1-29-1", "Service prod": "1-29-1"},
		"1-28-3": {"MutatingWebhookConfiguration default": "1-29-1", "MutatingWebhookConfiguration prod": "1-29-1",
			"Service default": "1-28-3", "Service prod": "1-28-3"},
		"1-29-1": {"MutatingWebhookConfiguration default": "1-29-1", "MutatingWebhookConfiguration prod": "1-29-1",
			"Service default": "1-29-1", "Service prod": "1-29-1"},
	} {
		for range 2 { // What is rendered is kept, and must not be changed.
			c, err := From(library(t)).Tags(m, keeper)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, o := range c.Objects {
				got[o.GetKind()+" "+o.GetLabels()[TagLabel]] = o.GetLabels()["istio.io/rev"]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("keeper %q (-want +got):\n%s", keeper, diff)
			}
		}
	}
	if _, err := From(library(t)).Tags(m, "gone"); err == nil {
		t.Error("a keeper that the member does not have is accepted")
	}
}
