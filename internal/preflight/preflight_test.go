package preflight

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestRunAsksEverything wants every check's answer, also when all find something.
func TestRunAsksEverything(t *testing.T) {
	m := subject(t, allowed{}, definition("1.28.3", byHelm))
	m.KubernetesVersion = "v1.20.0"
	m.After = append(m.After, object(t, istiod), object(t, wanted), object(t, injectorOf("true")))
	got := map[string]int{}
	for _, f := range Run(t.Context(), m) {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
		got[f.Name] = len(f.Problems)
	}
	want := map[string]int{"CNI": 1, "CustomResources": 1, "GatewayAPI": 0, "Gateways": 0, "Kubernetes": 1, "Permissions": 1, "Room": 1, "Webhooks": 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// TestRunNeverPassesWithoutAnAnswer lets every call fail.
func TestRunNeverPassesWithoutAnAnswer(t *testing.T) {
	broken := errors.New("broken")
	m := subject(t, allowed{rules: []authorizationv1.ResourceRule{rule("*", "*", "*")}})
	m.After = append(m.After, object(t, istiod), object(t, wanted), object(t, injectorOf("true")))
	m.Client = interceptor.NewClient(m.Client.(client.WithWatch), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return broken
		},
		List:   func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken },
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return broken },
	})
	for _, f := range Run(t.Context(), m) {
		if f.Name != CheckKubernetes && !errors.Is(f.Err, broken) {
			t.Errorf("%s: %+v", f.Name, f)
		}
	}
}

func TestResults(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 500, time.UTC)
	since := metav1.NewTime(now.Add(-time.Hour).Truncate(time.Second))
	at := metav1.NewTime(now.Truncate(time.Second))
	previous := []meshv1alpha1.GateResult{{Name: "Room", Verdict: meshv1alpha1.VerdictInconclusive, Since: since}, {Name: "Webhooks", Verdict: meshv1alpha1.VerdictPass, Since: since}}
	got := Results([]Finding{
		{Name: "Webhooks", Err: errors.New("no answer")},
		{Name: "Room", Problems: []string{"b", "a"}},
		{Name: "GatewayAPI", Problems: []string{"old"}},
		{Name: "Permissions", Note: "all there"},
	}, []meshv1alpha1.PreflightCheck{meshv1alpha1.CheckGatewayAPI, meshv1alpha1.CheckPermissions}, previous, now)
	want := []meshv1alpha1.GateResult{
		{Name: "GatewayAPI", Verdict: meshv1alpha1.VerdictInconclusive, Message: "old", DryRun: true, Since: at},
		{Name: "Permissions", Verdict: meshv1alpha1.VerdictPass, Message: "all there", DryRun: true, Since: at},
		{Name: "Room", Verdict: meshv1alpha1.VerdictInconclusive, Message: "a; b", Since: since},
		{Name: "Webhooks", Verdict: meshv1alpha1.VerdictError, Message: "no answer", Since: at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestChanges(t *testing.T) {
	tag := func(revision string) *unstructured.Unstructured {
		return object(t, `{apiVersion: v1, kind: Service, metadata: {name: istiod-prod, namespace: istio-system}, spec: {selector: {rev: `+revision+`}}}`)
	}
	old := object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: istiod-1-28-3, namespace: istio-system}}`)
	role := object(t, readerRole)
	before := []*unstructured.Unstructured{old, tag("1-28-3"), role}
	after := []*unstructured.Unstructured{tag("1-29-1"), role, object(t, istiod)}
	got, err := Changes(before, after)
	if err != nil {
		t.Fatal(err)
	}
	want := meshv1alpha1.ObjectChanges{
		Hash:    got.Hash,
		Added:   meshv1alpha1.Sample{Count: 1, Names: []string{"Deployment istio-system/istiod-1-29-1"}},
		Changed: meshv1alpha1.Sample{Count: 1, Names: []string{"Service istio-system/istiod-prod"}},
		Removed: meshv1alpha1.Sample{Count: 1, Names: []string{"Deployment istio-system/istiod-1-28-3"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got.Hash) != 64 {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	hash := func(before, after []*unstructured.Unstructured) string {
		c, err := Changes(before, after)
		if err != nil {
			t.Fatal(err)
		}
		return c.Hash
	}
	reversed := slices.Clone(after)
	slices.Reverse(reversed)
	if hash(before, reversed) != got.Hash {
		t.Error("the order of objects changes the hash")
	}
	if hash(before, append(after[:1:1], role)) == got.Hash {
		t.Error("an object less has the same hash")
	}
	if hash([]*unstructured.Unstructured{old, tag("another"), role}, after) != got.Hash {
		t.Error("the content of what is replaced changes the hash")
	}
	if hash([]*unstructured.Unstructured{tag("1-28-3")}, after) == got.Hash {
		t.Error("what is removed does not change the hash")
	}
}
