package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshfleet/meshfleet/internal/member"
)

var (
	chartsDir = filepath.Join("..", "..", "bin", "charts")
	rolesDir  = filepath.Join("..", "..", "config", "member-rbac")
)

func TestRolesAreUpToDate(t *testing.T) {
	files, err := generate(chartsDir)
	if err != nil {
		t.Fatalf("charts missing? run `make charts`: %v", err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(rolesDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is out of date, run `make member-rbac` (-want +got):\n%s", name, diff)
		}
	}
}

// held reads what a generated role holds.
func held(t *testing.T, file string) map[target]map[string]bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(rolesDir, file))
	if err != nil {
		t.Fatal(err)
	}
	role := rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict(content, &role); err != nil {
		t.Fatal(err)
	}
	out := map[target]map[string]bool{}
	for _, r := range role.Rules {
		for _, tg := range targets(r) {
			if out[tg] == nil {
				out[tg] = map[string]bool{}
			}
			for _, v := range r.Verbs {
				out[tg][v] = true
			}
			if err := check(tg, r.Verbs); err != nil {
				t.Error(err)
			}
		}
	}
	return out
}

// TestRolesHoldWhatTheChartsGrant guards the reason for this program: a permission in a chart's role that the
// credential does not hold makes the API server refuse that role.
func TestRolesHoldWhatTheChartsGrant(t *testing.T) {
	everywhere, there := held(t, clusterFile), held(t, namespaceFile)
	cluster, namespace, err := chartRules(chartsDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(cluster) == 0 || len(namespace) == 0 {
		t.Fatalf("the charts have %d rules in ClusterRoles and %d in Roles", len(cluster), len(namespace))
	}
	ownCluster, ownNamespace := operatorRules()
	require := func(rules []rbacv1.PolicyRule, roles ...map[target]map[string]bool) {
		for _, r := range rules {
			for _, tg := range targets(r) {
				for _, v := range r.Verbs {
					if !slices.ContainsFunc(roles, func(role map[target]map[string]bool) bool { return role[tg][v] }) {
						t.Errorf("%s of %+v is missing", v, tg)
					}
				}
			}
		}
	}
	require(slices.Concat(cluster, ownCluster), everywhere)
	require(slices.Concat(namespace, ownNamespace), everywhere, there)
}

// TestSecretsAndTunnelsAreLimitedToTheNamespace keeps what a stolen credential is worth small.
func TestSecretsAndTunnelsAreLimitedToTheNamespace(t *testing.T) {
	everywhere := held(t, clusterFile)
	for tg, verbs := range everywhere {
		for verb := range verbs {
			isRead := slices.Contains(member.Watch, verb)
			switch {
			case tg.group == "" && tg.resource == "secrets" && !isRead,
				tg.group == "" && slices.Contains([]string{"pods/portforward", "serviceaccounts/token", "pods/exec"}, tg.resource),
				tg.group == rbacv1.GroupName && slices.Contains([]string{"roles", "rolebindings"}, tg.resource) && !isRead:
				t.Errorf("%s of %+v is allowed in all namespaces", verb, tg)
			}
		}
	}
	if !held(t, namespaceFile)[target{resource: "secrets"}]["create"] {
		t.Error("Secrets cannot be made in the control plane's namespace")
	}
}

func TestBeyond(t *testing.T) {
	read := []string{"get", "list"}
	named := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"reader"}, Verbs: []string{"create"}}
	got := beyond([]rbacv1.PolicyRule{member.Rule("", member.Own, "secrets", "configmaps"), named, member.Rule("a", read, "x")},
		[]rbacv1.PolicyRule{member.Rule("", member.Own, "configmaps"), member.Rule("", member.Watch, "secrets"), member.Rule("a", read, "x")})
	want := []rbacv1.PolicyRule{member.Rule("", []string{"create", "update", "patch", "delete"}, "secrets"), named}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("beyond (-want +got):\n%s", diff)
	}
	if got := beyond([]rbacv1.PolicyRule{named}, []rbacv1.PolicyRule{member.Rule("", []string{"create"}, "serviceaccounts/token")}); len(got) > 0 {
		t.Errorf("what is allowed for all names is added for one: %v", got)
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
