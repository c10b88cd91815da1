package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshfleet/meshfleet/internal/member"
)

var (
	chartsDir = filepath.Join("..", "..", "bin", "charts")
	roleFile  = filepath.Join("..", "..", "config", "member-rbac", "role.yaml")
)

func TestRoleIsUpToDate(t *testing.T) {
	want, err := generate(chartsDir)
	if err != nil {
		t.Fatalf("charts missing? run `make charts`: %v", err)
	}
	got, err := os.ReadFile(roleFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date, run `make member-rbac` (-want +got):\n%s", roleFile, diff)
	}
}

// TestRoleHoldsWhatTheChartsGrant guards the reason for this program: a permission in a chart's role that the
// credential does not hold makes the API server refuse that role.
func TestRoleHoldsWhatTheChartsGrant(t *testing.T) {
	content, err := os.ReadFile(roleFile)
	if err != nil {
		t.Fatal(err)
	}
	role := rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(content, &role); err != nil {
		t.Fatal(err)
	}
	held := map[target]map[string]bool{}
	for _, r := range role.Rules {
		for _, tg := range targets(r) {
			if held[tg] == nil {
				held[tg] = map[string]bool{}
			}
			for _, v := range r.Verbs {
				held[tg][v] = true
			}
			if err := check(tg, r.Verbs); err != nil {
				t.Error(err)
			}
		}
	}
	rules, err := chartRules(chartsDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) == 0 {
		t.Fatal("the charts have no rules at all")
	}
	for _, r := range append(rules, operatorRules()...) {
		for _, tg := range targets(r) {
			for _, v := range r.Verbs {
				if !held[tg][v] {
					t.Errorf("%s of %+v is missing", v, tg)
				}
			}
		}
	}
}

func TestMerge(t *testing.T) {
	read := []string{"get", "list"}
	tests := map[string]struct {
		in      []rbacv1.PolicyRule
		want    []rbacv1.PolicyRule
		wantErr bool
	}{
		"joins resources with the same verbs": {
			in:   []rbacv1.PolicyRule{member.Rule("", read, "pods"), member.Rule("", []string{"list", "get"}, "nodes")},
			want: []rbacv1.PolicyRule{member.Rule("", read, "nodes", "pods")},
		},
		"joins verbs of one resource": {
			in:   []rbacv1.PolicyRule{member.Rule("", read, "pods"), member.Rule("", []string{"watch"}, "pods")},
			want: []rbacv1.PolicyRule{member.Rule("", []string{"get", "list", "watch"}, "pods")},
		},
		"keeps groups apart": {
			in:   []rbacv1.PolicyRule{{APIGroups: []string{"b", "a"}, Resources: []string{"x"}, Verbs: read}},
			want: []rbacv1.PolicyRule{member.Rule("a", read, "x"), member.Rule("b", read, "x")},
		},
		"keeps resource names apart": {
			in: []rbacv1.PolicyRule{
				{APIGroups: []string{"a"}, Resources: []string{"x"}, ResourceNames: []string{"n", "m"}, Verbs: read},
				member.Rule("a", read, "x"),
			},
			want: []rbacv1.PolicyRule{
				member.Rule("a", read, "x"),
				{APIGroups: []string{"a"}, Resources: []string{"x"}, ResourceNames: []string{"m", "n"}, Verbs: read},
			},
		},
		"keeps URLs": {
			in:   []rbacv1.PolicyRule{{NonResourceURLs: []string{"/version"}, Verbs: []string{"get"}}},
			want: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/version"}, Verbs: []string{"get"}}},
		},
		"refuses a wildcard resource": {in: []rbacv1.PolicyRule{member.Rule("", read, "*")}, wantErr: true},
		"refuses a wildcard verb":     {in: []rbacv1.PolicyRule{member.Rule("", []string{"*"}, "pods")}, wantErr: true},
		"refuses a wildcard group":    {in: []rbacv1.PolicyRule{member.Rule("*", read, "pods")}, wantErr: true},
		"refuses escalation":          {in: []rbacv1.PolicyRule{member.Rule("rbac.authorization.k8s.io", []string{"escalate"}, "roles")}, wantErr: true},
		"refuses binding":             {in: []rbacv1.PolicyRule{member.Rule("rbac.authorization.k8s.io", []string{"bind"}, "roles")}, wantErr: true},
		"refuses impersonation":       {in: []rbacv1.PolicyRule{member.Rule("", []string{"impersonate"}, "users")}, wantErr: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := merge(tt.in)
			if (err != nil) != tt.wantErr {
				t.Fatalf("error %v, want one: %v", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("merge (-want +got):\n%s", diff)
			}
		})
	}
}
