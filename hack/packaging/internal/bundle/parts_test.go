package bundle

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

func render(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := manifests.Render(filepath.Join(repository, "config", "manifests"))
	must(t, err)
	return objects
}

// TestPermissionsAreThoseOfTheInstallation wants every rule of the operator's roles, no other one, and no wildcard.
func TestPermissionsAreThoseOfTheInstallation(t *testing.T) {
	objects := render(t)
	strategy := build(t).CSV.Spec.InstallStrategy.StrategySpec
	for _, scope := range []struct {
		role, binding string
		got           []operatorsv1alpha1.StrategyDeploymentPermissions
	}{
		{"Role", "RoleBinding", strategy.Permissions},
		{"ClusterRole", "ClusterRoleBinding", strategy.ClusterPermissions},
	} {
		if len(scope.got) != 1 || scope.got[0].ServiceAccountName != "meshfleet-controller-manager" {
			t.Fatalf("permissions of %s are %+v", scope.role, scope.got)
		}
		bound := map[string]bool{}
		for _, u := range manifests.OfKind(objects, scope.binding) {
			name, _, err := unstructured.NestedString(u.Object, "roleRef", "name")
			must(t, err)
			bound[name] = true
		}
		var want []rbacv1.PolicyRule
		for _, u := range manifests.OfKind(objects, scope.role) {
			role, err := manifests.Decode[rbacv1.ClusterRole](u)
			must(t, err)
			if bound[role.Name] {
				want = append(want, role.Rules...)
			}
		}
		for _, rule := range want {
			if !slices.ContainsFunc(scope.got[0].Rules, func(got rbacv1.PolicyRule) bool { return reflect.DeepEqual(got, rule) }) {
				t.Errorf("the rule %v of a %s is missing", rule, scope.role)
			}
		}
		for _, rule := range scope.got[0].Rules {
			if !slices.ContainsFunc(want, func(w rbacv1.PolicyRule) bool { return reflect.DeepEqual(w, rule) }) {
				t.Errorf("no %s has the rule %v", scope.role, rule)
			}
			if slices.Contains(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs), "*") {
				t.Errorf("the rule %v has a wildcard", rule)
			}
		}
	}
	rules := strategy.Permissions[0].Rules
	if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "leases") }) {
		t.Error("the operator cannot elect a leader")
	}
	rules = strategy.ClusterPermissions[0].Rules
	if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "tokenreviews") }) {
		t.Error("the operator cannot authenticate clients of the metrics")
	}
}

// TestWebhooksAreThoseOfTheInstallation compares each webhook with its description.
func TestWebhooksAreThoseOfTheInstallation(t *testing.T) {
	objects := render(t)
	want := map[string]operatorsv1alpha1.WebhookDescription{}
	validating, err := manifests.DecodeKind[admissionregistrationv1.ValidatingWebhookConfiguration](objects, validatingKind)
	must(t, err)
	for _, v := range validating[0].Webhooks {
		want[v.Name] = operatorsv1alpha1.WebhookDescription{
			Type: operatorsv1alpha1.ValidatingAdmissionWebhook, Rules: v.Rules, FailurePolicy: v.FailurePolicy, WebhookPath: v.ClientConfig.Service.Path,
			SideEffects: v.SideEffects, AdmissionReviewVersions: v.AdmissionReviewVersions,
		}
	}
	mutating, err := manifests.DecodeKind[admissionregistrationv1.MutatingWebhookConfiguration](objects, mutatingKind)
	must(t, err)
	for _, m := range mutating[0].Webhooks {
		want[m.Name] = operatorsv1alpha1.WebhookDescription{
			Type: operatorsv1alpha1.MutatingAdmissionWebhook, Rules: m.Rules, FailurePolicy: m.FailurePolicy, WebhookPath: m.ClientConfig.Service.Path,
			SideEffects: m.SideEffects, AdmissionReviewVersions: m.AdmissionReviewVersions,
		}
	}
	got := map[string]operatorsv1alpha1.WebhookDescription{}
	for _, d := range build(t).CSV.Spec.WebhookDefinitions {
		if d.DeploymentName != "meshfleet-controller-manager" || d.ContainerPort != 443 || d.TargetPort.IntValue() != 9443 {
			t.Errorf("%s is served by %s, port %d, container %v", d.GenerateName, d.DeploymentName, d.ContainerPort, d.TargetPort)
		}
		name := d.GenerateName
		d.GenerateName, d.DeploymentName, d.ContainerPort, d.TargetPort = "", "", 0, nil
		got[name] = d
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("webhooks (-want +got):\n%s", diff)
	}
	if len(want) != 6 {
		t.Errorf("%d webhooks, want 6", len(want))
	}
}

// TestWhatHasNoPlaceIsAnError adds objects to the installation, or changes some, that would be lost in a bundle.
func TestWhatHasNoPlaceIsAnError(t *testing.T) {
	const binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: other}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: meshfleet-manager}\nsubjects: [{kind: ServiceAccount, name: other}]\n"
	added := map[string]struct{ object, want string }{
		"a kind without a place":     {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n", `ConfigMap "other"`},
		"another ServiceAccount":     {"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other}\n", `ServiceAccount "other"`},
		"another certificate":        {"apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: other}\n", `Certificate "other"`},
		"another issuer":             {"apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: other}\n", `Issuer "other"`},
		"a Role that nobody has":     {"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: other}\nrules: []\n", `Role "other"`},
		"a binding of somebody else": {binding, `ServiceAccount "other"`},
		"a second Deployment":        {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other}\n", "2 objects have the kind Deployment"},
		"a binding without its Role": {strings.NewReplacer("meshfleet-manager", "gone", "name: other}]", "name: meshfleet-controller-manager}]").Replace(binding), `no Role "gone"`},
		"a second namespace":         {"apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n", "2 objects have the kind Namespace"},
		"a second ClusterServiceVersion": {"apiVersion: operators.coreos.com/v1alpha1\nkind: ClusterServiceVersion\nmetadata: {name: other}\n",
			"2 objects have the kind ClusterServiceVersion"},
	}
	for name, c := range added {
		t.Run(name, func(t *testing.T) {
			more, err := manifests.Parse([]byte(c.object))
			must(t, err)
			if _, err := classify(append(render(t), more...)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestWebhooksThatOLMCannotExpress changes the first webhook of the installation.
func TestWebhooksThatOLMCannotExpress(t *testing.T) {
	cases := map[string]struct {
		change func(hook map[string]any)
		want   string
	}{
		"another match condition": {func(hook map[string]any) {
			hook["matchConditions"] = []any{map[string]any{"name": "only-mine", "expression": "true"}}
		}, "only-mine"},
		"a selector of namespaces": {func(hook map[string]any) {
			hook["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{"a": "b"}}
		}, "namespaceSelector"},
		"a URL": {func(hook map[string]any) {
			hook["clientConfig"] = map[string]any{"url": "https://example.com"}
		}, "has no Service"},
		"a port that nobody serves": {func(hook map[string]any) {
			hook["clientConfig"].(map[string]any)["service"].(map[string]any)["port"] = int64(444)
		}, "port 444"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := render(t)
			hooks, _, err := unstructured.NestedSlice(manifests.OfKind(objects, validatingKind)[0].Object, "webhooks")
			must(t, err)
			c.change(hooks[0].(map[string]any))
			must(t, unstructured.SetNestedSlice(manifests.OfKind(objects, validatingKind)[0].Object, hooks, "webhooks"))
			p, err := classify(objects)
			if err == nil {
				_, err = p.webhooks.describe(p.deployment)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}
