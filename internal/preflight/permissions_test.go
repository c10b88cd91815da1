package preflight

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const readerRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: istio-reader}
rules:
- {apiGroups: [""], resources: [endpoints, pods/log], verbs: [get]}
- {apiGroups: [""], resources: [configmaps], resourceNames: [istio], verbs: [get]}
- {nonResourceURLs: [/metrics], verbs: [get]}
`

func rule(group, resource string, verbs ...string) authorizationv1.ResourceRule {
	return authorizationv1.ResourceRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

func TestNeededPermissions(t *testing.T) {
	m := subject(t, allowed{})
	m.Evicts = true
	m.Watched = []client.Object{&corev1.Service{}, &appsv1.Deployment{}, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{
		APIVersion: "networking.istio.io/v1", Kind: "Gateway"}}}
	m.After = append(m.After, object(t, istiod), object(t, readerRole), object(t,
		`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}}`))
	needed, err := m.needed()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range needed {
		got = append(got, strings.TrimSpace(a.String()+" "+a.namespace))
	}
	want := []string{
		"create clusterroles.rbac.authorization.k8s.io",
		"create customresourcedefinitions.apiextensions.k8s.io",
		"create deployments.apps istio-system",
		"create pods/eviction",
		"create pods/portforward istio-system",
		"create secrets istio-system",
		"delete clusterroles.rbac.authorization.k8s.io",
		"delete deployments.apps istio-system",
		"delete secrets istio-system",
		"get /metrics",
		"get clusterroles.rbac.authorization.k8s.io",
		"get configmaps istio",
		"get customresourcedefinitions.apiextensions.k8s.io",
		"get deployments.apps istio-system",
		"get endpoints",
		"get pods/log",
		"list cronjobs.batch",
		"list deployments.apps",
		"list jobs.batch",
		"list services",
		"patch clusterroles.rbac.authorization.k8s.io",
		"patch customresourcedefinitions.apiextensions.k8s.io",
		"patch daemonsets.apps",
		"patch deployments.apps",
		"patch deployments.apps istio-system",
		"patch secrets istio-system",
		"patch statefulsets.apps",
		"watch deployments.apps",
		"watch services",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("needed (-want +got):\n%s", diff)
	}
}

func TestPermissions(t *testing.T) {
	everything := []authorizationv1.ResourceRule{rule("*", "*", "*")}
	everywhere := []authorizationv1.ResourceRule{rule("apps", "*", "*"), rule("batch", "*", "list")}
	cases := map[string]struct {
		allowed   allowed
		watched   []client.Object
		wantAsked int
		want      string
	}{
		"all in one answer": {allowed: allowed{rules: everything}},
		"what the first answer lacks is asked for": {
			allowed:   allowed{rules: []authorizationv1.ResourceRule{rule("apps", "*", "*"), rule("batch", "*", "list"), rule("", "secrets", "*")}, one: func(a *authorizationv1.ResourceAttributes) bool { return a.Subresource == "portforward" }},
			wantAsked: 1},
		"a kind that may be written and not watched is named": {
			allowed: allowed{rules: []authorizationv1.ResourceRule{rule("", "pods/portforward", "create"), rule("", "secrets", "*"), rule("batch", "*", "list"), rule("apps", "*", "get", "list", "create", "patch", "delete")}}, wantAsked: 1,
			watched: []client.Object{&appsv1.Deployment{}}, want: "the credential may not watch deployments.apps: "},
		"what is not allowed is named": {
			allowed: allowed{rules: []authorizationv1.ResourceRule{rule("", "pods/portforward", "create"), rule("batch", "*", "list"), rule("", "secrets", "*"), rule("apps", "deployments", "get", "create", "patch")}}, wantAsked: 3,
			want: "the credential may not delete deployments.apps in namespace istio-system, patch daemonsets.apps, patch statefulsets.apps: "},
		"a Role of the control plane's namespace is enough there": {
			allowed: allowed{rules: everywhere, there: []authorizationv1.ResourceRule{rule("", "secrets", "create", "patch", "delete"), rule("", "pods/portforward", "create")}}},
		"and missing there it is named": {
			allowed: allowed{rules: everywhere, there: []authorizationv1.ResourceRule{rule("", "secrets", "create", "patch")}}, wantAsked: 2,
			want: "the credential may not create pods/portforward in namespace istio-system, delete secrets in namespace istio-system: "},
		"a Role allows nothing in other namespaces": {
			allowed: allowed{there: everything}, wantAsked: 5,
			want: "the credential may not list cronjobs.batch, list jobs.batch, patch daemonsets.apps, patch deployments.apps, patch statefulsets.apps: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			c.allowed.asked = &asked
			m := subject(t, c.allowed)
			m.Watched = c.watched
			m.After = append(m.After, object(t, istiod))
			f, err := permissions(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.Problems, "; "); !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("problems %q, want %q", got, c.want)
			}
			if asked != c.wantAsked {
				t.Errorf("asked %d times, want %d", asked, c.wantAsked)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	named := rule("", "configmaps", "get")
	named.ResourceNames = []string{"istio"}
	rules := &authorizationv1.SubjectRulesReviewStatus{
		ResourceRules:    []authorizationv1.ResourceRule{named, rule("apps", "deployments/status", "patch"), rule("apps", "deployments", "get")},
		NonResourceRules: []authorizationv1.NonResourceRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics/*", "/version"}}},
	}
	cases := map[string]struct {
		access access
		want   bool
	}{
		"the same":                 {access{group: "apps", resource: "deployments", verb: "get"}, true},
		"another verb":             {access{group: "apps", resource: "deployments", verb: "patch"}, false},
		"another group":            {access{resource: "deployments", verb: "get"}, false},
		"a subresource":            {access{group: "apps", resource: "deployments", subresource: "status", verb: "patch"}, true},
		"the object that is named": {access{resource: "configmaps", name: "istio", verb: "get"}, true},
		"another object":           {access{resource: "configmaps", name: "other", verb: "get"}, false},
		"any object":               {access{resource: "configmaps", verb: "get"}, false},
		"a URL":                    {access{url: "/version", verb: "get"}, true},
		"a URL below":              {access{url: "/metrics/cadvisor", verb: "get"}, true},
		"another URL":              {access{url: "/logs", verb: "get"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := covers(rules, c.access); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}
