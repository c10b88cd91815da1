package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestDeleteOwned(t *testing.T) {
	cases := map[string]struct {
		live     *unstructured.Unstructured
		wantGone bool
	}{
		"ours goes":                           {object("ConfigMap", "settings", ours()), true},
		"that of another component stays":     {object("ConfigMap", "settings", ours(), ofComponent("tags")), false},
		"with this component's label it goes": {object("ConfigMap", "settings", ours(), ofComponent("gateway")), true},
		"without our label it stays":          {object("ConfigMap", "settings"), false},
		"that of another mesh stays":          {object("ConfigMap", "settings", labels(map[string]string{meshv1alpha1.LabelInstallation: "other.mesh"})), false},
		"what is not there is no failure":     {object("ConfigMap", "another", ours()), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMember(t, c.live)
			wanted := object("ConfigMap", "settings")
			if err := m.applier.deleteOwned(t.Context(), "gateway", refOf(wanted)); err != nil {
				t.Fatal(err)
			}
			if _, there := m.has(t, wanted); there == c.wantGone {
				t.Errorf("there: %v", there)
			}
		})
	}
}

func TestDeleteStopsPodsBeforeTheirPermissionsGo(t *testing.T) {
	m := newMember(t)
	deployment := object("Deployment", "istiod", func(o *unstructured.Unstructured) { o.SetFinalizers([]string{"foregroundDeletion"}) })
	role := object("Role", "istiod", func(o *unstructured.Unstructured) { o.SetAPIVersion("rbac.authorization.k8s.io/v1") })
	apply(t, m, component(role, deployment))

	m.forget()
	if gone, err := m.applier.Delete(t.Context(), "gateway"); gone || err != nil {
		t.Fatalf("with pods that still run it is gone: %v, %v", gone, err)
	}
	if diff := cmp.Diff([]string{"delete Deployment istiod"}, m.writes); diff != "" {
		t.Errorf("while pods run (-want +got):\n%s", diff)
	}
	if gone, err := m.applier.Delete(t.Context(), "gateway"); gone || err != nil || len(m.writes) != 1 {
		t.Errorf("asked again: gone %v, %v, writes %v", gone, err, m.writes)
	}

	live, _ := m.has(t, deployment)
	live.SetFinalizers(nil)
	if err := m.Client.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	m.forget()
	if gone, err := m.applier.Delete(t.Context(), "gateway"); !gone || err != nil {
		t.Fatalf("without pods it is gone: %v, %v", gone, err)
	}
	if diff := cmp.Diff([]string{"delete Role istiod", "delete  " + inventoryPrefix + "gateway"}, m.writes); diff != "" {
		t.Errorf("without pods (-want +got):\n%s", diff)
	}
}

func TestDeleteWaitsForFinalizers(t *testing.T) {
	m := newMember(t)
	held := object("Service", "gateway", func(o *unstructured.Unstructured) {
		o.SetFinalizers([]string{"service.kubernetes.io/load-balancer-cleanup"})
	})
	apply(t, m, component(held))
	if gone, err := m.applier.Delete(t.Context(), "gateway"); gone || err != nil {
		t.Errorf("gone %v, %v, want to wait for the load balancer", gone, err)
	}
	if names, err := m.applier.Components(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("components are %v, %v; the inventory must stay until all is gone", names, err)
	}
}

func TestDeleteOfNothingIsDone(t *testing.T) {
	m := newMember(t)
	if gone, err := m.applier.Delete(t.Context(), "never-applied"); !gone || err != nil {
		t.Errorf("gone %v, %v", gone, err)
	}
	if len(m.writes) > 0 {
		t.Errorf("writes %v", m.writes)
	}
}

func TestDeleteLeavesWhatOthersHaveTaken(t *testing.T) {
	m := newMember(t)
	taken := object("ConfigMap", "settings")
	apply(t, m, component(taken, object("ConfigMap", "other")))
	live, _ := m.has(t, taken)
	live.SetLabels(map[string]string{"app": "theirs"})
	if err := m.Client.Update(t.Context(), live, client.FieldOwner("someone")); err != nil {
		t.Fatal(err)
	}
	if gone, err := m.applier.Delete(t.Context(), "gateway"); !gone || err != nil {
		t.Errorf("gone %v, %v", gone, err)
	}
	if _, there := m.has(t, taken); !there {
		t.Error("deleted what somebody else has taken over")
	}
}
