package main

import (
	"context"
	"fmt"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestCredentialInstallsIstioAtAnAPIServer asks a real API server, because only it knows all rules against escalation: with the
// role, and nothing else, a credential can apply everything that the charts contain.
func TestCredentialInstallsIstioAtAnAPIServer(t *testing.T) {
	_, member := testutil.StartMember(t)
	ctx := context.Background()
	for _, version := range istioversion.Supported() {
		t.Run(version, func(t *testing.T) {
			for _, o := range chartObjects(t, version) {
				if err := member.Patch(ctx, o, client.Apply, client.FieldOwner("test"), client.ForceOwnership); err != nil { //nolint:staticcheck // unstructured objects have no apply configuration
					t.Errorf("apply %s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
			for _, o := range chartObjects(t, version) {
				if o.GetKind() == "CustomResourceDefinition" {
					continue
				}
				if err := member.Delete(ctx, o); err != nil {
					t.Errorf("delete %s %s: %v", o.GetKind(), o.GetName(), err)
				}
			}
		})
	}
}

// TestCredentialIsLimited shows what a stolen credential cannot do directly.
func TestCredentialIsLimitedAtAnAPIServer(t *testing.T) {
	admin, member := testutil.StartMember(t)
	ctx := context.Background()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "default"}}
	if err := admin.Create(ctx, account); err != nil {
		t.Fatal(err)
	}
	object := func(kind, apiVersion, name string, content map[string]any) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: content}
		o.SetKind(kind)
		o.SetAPIVersion(apiVersion)
		o.SetName(name)
		return o
	}
	const rbac = "rbac.authorization.k8s.io/v1"
	tests := map[string]func() error{
		"make a role with a wildcard": func() error {
			return member.Create(ctx, object("ClusterRole", rbac, "all", map[string]any{"rules": []any{
				map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}, "verbs": []any{"*"}},
			}}))
		},
		"bind cluster-admin": func() error {
			return member.Create(ctx, object("ClusterRoleBinding", rbac, "admin", map[string]any{
				"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "other", "namespace": "default"}},
			}))
		},
		"take a token of another account": func() error {
			return member.SubResource("token").Create(ctx, account, &authenticationv1.TokenRequest{})
		},
		"make a Secret in another namespace": func() error {
			return member.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "default"}})
		},
		"make a Role in another namespace": func() error {
			o := object("Role", rbac, "r", map[string]any{"rules": []any{}})
			o.SetNamespace("default")
			return member.Create(ctx, o)
		},
		"delete a namespace": func() error {
			return member.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
		},
		"delete a pod past its PodDisruptionBudget": func() error {
			return member.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}})
		},
		"make a pod": func() error {
			return member.Create(ctx, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			})
		},
	}
	for name, attempt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := attempt(); !apierrors.IsForbidden(err) {
				t.Errorf("error is %v, want forbidden", err)
			}
		})
	}
}

// TestCredentialRenewsItselfAtAnAPIServer wants the credential to get tokens of its own account, and of no account of the same name elsewhere.
func TestCredentialRenewsItselfAtAnAPIServer(t *testing.T) {
	admin, member := testutil.StartMember(t)
	own := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "meshfleet-member", Namespace: "meshfleet-member"}}
	if err := member.SubResource("token").Create(t.Context(), own, &authenticationv1.TokenRequest{}); err != nil {
		t.Errorf("a token of its own account: %v", err)
	}
	namesake := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "meshfleet-member", Namespace: "default"}}
	if err := admin.Create(t.Context(), namesake); err != nil {
		t.Fatal(err)
	}
	if err := member.SubResource("token").Create(t.Context(), namesake, &authenticationv1.TokenRequest{}); !apierrors.IsForbidden(err) {
		t.Errorf("a token of an account of the same name: error is %v, want forbidden", err)
	}
}

// chartObjects renders everything that the operator applies in a member.
func chartObjects(t *testing.T, version string) []*unstructured.Unstructured {
	t.Helper()
	library := charts.NewLibrary(chartsDir)
	var objects []*unstructured.Unstructured
	for _, request := range []charts.Request{
		{Chart: charts.Base, Values: map[string]any{"defaultRevision": "rev"}},
		{Chart: charts.Istiod, Values: map[string]any{"revision": "rev", "revisionTags": []any{"default", "prod"}, "autoscaleMin": 2}},
		{Chart: charts.Gateway, Values: map[string]any{"name": "gateway", "revision": "rev", "networkGateway": "net"}},
	} {
		request.Version, request.Release, request.Namespace = version, request.Chart, "istio-system"
		rendered, err := library.Render(request)
		if err != nil {
			t.Fatal(fmt.Errorf("charts missing? run `make charts`: %w", err))
		}
		for _, o := range rendered {
			if o.GetKind() == "ValidatingWebhookConfiguration" {
				ignoreFailures(t, o)
			}
		}
		objects = append(objects, rendered...)
	}
	return objects
}

// ignoreFailures keeps the webhooks of an istiod that does not run from refusing what the test writes.
func ignoreFailures(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range webhooks {
		w.(map[string]any)["failurePolicy"] = "Ignore"
	}
	if err := unstructured.SetNestedSlice(o.Object, webhooks, "webhooks"); err != nil {
		t.Fatal(err)
	}
}
