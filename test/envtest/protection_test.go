package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// permitDeletion turns the protection of a mesh off, as docs/concepts.md says.
func (s *suite) permitDeletion(t *testing.T, inst *meshv1alpha1.MeshInstallation) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"deletionProtection":"Disabled"}}`))
	must(t, s.hub.admin.Patch(t.Context(), inst, patch))
}

// protected tries to delete the mesh in every way while a pod with a proxy runs in one member and another one does not answer.
func (s *suite) protected(t *testing.T) {
	s.operator.stop(t)
	t.Run("while no operator runs", s.protectedWithoutOperator)
	// A new instance counts at once.
	s.operator = s.startOperator(t)
	await(t, "the pod in east is counted", func(ctx context.Context) error {
		m, err := s.member(ctx, "east")
		if err == nil && (m.Status.Proxies == nil || *m.Status.Proxies != 1) {
			err = fmt.Errorf("pods: %v", m.Status.Proxies)
		}
		return err
	})
	for name, remove := range map[string]func() error{
		"in the background": func() error { return s.hub.admin.Delete(t.Context(), shop(meshName)) },
		"in the foreground": func() error {
			return s.hub.admin.Delete(t.Context(), shop(meshName), client.PropagationPolicy(metav1.DeletePropagationForeground))
		},
		"as a dry run": func() error { return s.hub.admin.Delete(t.Context(), shop(meshName), client.DryRunAll) },
		"with all others, as with their namespace": func() error {
			return s.hub.admin.DeleteAllOf(t.Context(), &meshv1alpha1.MeshInstallation{}, client.InNamespace(operatorNamespace))
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := remove()
			for _, want := range []string{
				"1 pods with a proxy of this mesh run in 1 members (east: 1)", "run in 1 members (west: does not answer",
				`kubectl -n meshfleet-system patch mesh shop --type merge -p '{"spec":{"deletionProtection":"Disabled"}}'`,
			} {
				if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want a refusal with %q", err, want)
				}
			}
		})
	}
	inst, err := s.installation(t.Context())
	must(t, err)
	if !inst.DeletionTimestamp.IsZero() {
		t.Fatalf("the mesh is being deleted since %s", inst.DeletionTimestamp)
	}
}

// protectedWithoutOperator tries to delete the mesh while nobody answers for it. A person can permit it nevertheless, and nothing else.
func (s *suite) protectedWithoutOperator(t *testing.T) {
	notAnswered := func(what string, err error) {
		t.Helper()
		if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "failed calling webhook") {
			t.Errorf("%s: error is %v, want one of the webhook that does not answer", what, err)
		}
	}
	edit := func(change string) error {
		return s.hub.admin.Patch(t.Context(), shop(meshName), client.RawPatch(types.MergePatchType, []byte(change)), client.DryRunAll)
	}
	notAnswered("a deletion", s.hub.admin.Delete(t.Context(), shop(meshName)))
	notAnswered("another change of the spec", edit(`{"spec":{"deletionPolicy":"Force"}}`))
	notAnswered("another change with the permission", edit(`{"spec":{"deletionPolicy":"Force","deletionProtection":"Disabled"}}`))
	notAnswered("a field that is set back", edit(`{"spec":{"dataPlane":null}}`))
	must(t, edit(`{"spec":{"deletionProtection":"Disabled"}}`))
	must(t, edit(`{"metadata":{"annotations":{"example.com/a":"b"}}}`))
	s.permitDeletion(t, shop(meshName))
	must(t, s.hub.admin.Delete(t.Context(), shop(meshName), client.DryRunAll))
	must(t, s.hub.admin.Patch(t.Context(), shop(meshName), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"deletionProtection":"Enabled"}}`))))
	notAnswered("a deletion after the permission was taken back", s.hub.admin.Delete(t.Context(), shop(meshName), client.DryRunAll))
}
