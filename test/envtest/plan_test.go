package envtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// plan asks what another version would do while something is in the way in west, restarts the operator over it, and lets
// it run by its hash. Until then nothing is written in any member. It does not begin before west is cured.
func (s *suite) plan(t *testing.T) {
	cure := s.oldGatewayAPI(t, "west")
	start := time.Now()
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Version, inst.Spec.Upgrade.Mode = newer, meshv1alpha1.UpgradeModePlan
	})
	hash := s.awaitPlan(t)
	await(t, "the mesh says that it is planned", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		return has(inst.Status.Conditions, meshv1alpha1.ConditionReady, "Unknown", meshv1alpha1.ReasonUpgradePlanned)
	})
	for _, name := range both {
		m, err := s.member(t.Context(), name)
		must(t, err)
		st := m.Status.Rollout
		if st.Changes.Added.Count == 0 || st.Changes.Changed.Count == 0 || st.Changes.Removed.Count == 0 || len(st.Changes.Added.Names) == 0 {
			t.Errorf("%s: changes %+v", name, st.Changes)
		}
		t.Logf("%s: %s; %d gates", name, st.Message, len(st.Gates))
	}
	s.operator.stop(t)
	s.operator = s.startOperator(t)
	wrong := "0123456789abcdef"
	s.lock(t, wrong)
	await(t, "the plan is refused, with its hash", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		for _, c := range inst.Status.Conditions {
			if c.Type == meshv1alpha1.ConditionStalled && strings.Contains(c.Message, hash) && strings.Contains(c.Message, wrong) {
				return stalled(inst.Status.Conditions, meshv1alpha1.ReasonPlanRefused)
			}
		}
		return fmt.Errorf("conditions: %s", describe(inst.Status.Conditions))
	})
	if again := s.awaitPlan(t); again != hash {
		t.Errorf("the plan's hash was %s and is %s", hash, again)
	}
	s.unwritten(t, start)
	s.lock(t, hash)
	await(t, "the upgrade waits for west", func(ctx context.Context) error {
		u, err := s.upgrade(ctx)
		if err != nil {
			return err
		}
		if u.Status.Phase != meshv1alpha1.UpgradePaused || !strings.Contains(u.Status.Message, `member "west": gate GatewayAPI`) {
			return fmt.Errorf("the upgrade is %s: %s", u.Status.Phase, u.Status.Message)
		}
		return nil
	})
	if m, err := s.member(t.Context(), "east"); err != nil || m.Spec.Rollout.Stage != meshv1alpha1.StagePreflight {
		t.Errorf("east has begun while west is not well: %v, %v", m.Spec.Rollout, err)
	}
	cure()
}

// oldGatewayAPI installs a definition of the Gateway API that is too old for istiod, and returns its cure.
func (s *suite) oldGatewayAPI(t *testing.T, member string) (cure func()) {
	t.Helper()
	const bundle = "gateway.networking.k8s.io/bundle-version"
	at := s.members[member].admin
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "grpcroutes.gateway.networking.k8s.io", Annotations: map[string]string{
			bundle: "v1.0.0", "api-approved.kubernetes.io": "unapproved, of a test",
		}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "gateway.networking.k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "grpcroutes", Singular: "grpcroute", Kind: "GRPCRoute", ListKind: "GRPCRouteList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha2", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"}},
			}},
		},
	}
	must(t, at.Create(t.Context(), crd))
	t.Cleanup(func() { must(t, client.IgnoreNotFound(at.Delete(context.Background(), crd))) })
	return func() {
		t.Helper()
		must(t, at.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
		crd.Annotations[bundle] = "v1.2.0"
		must(t, at.Update(t.Context(), crd))
	}
}

func (s *suite) lock(t *testing.T, hash string) {
	t.Helper()
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.Mode, inst.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeLocked, hash
	})
}

// awaitPlan waits for a plan of both members and returns its hash.
func (s *suite) awaitPlan(t *testing.T) string {
	t.Helper()
	hash := ""
	await(t, "the upgrade is planned", func(ctx context.Context) error {
		u, err := s.upgrade(ctx)
		if err != nil {
			return err
		}
		st := u.Status
		if st.Phase != meshv1alpha1.UpgradePlanned || st.Plan == nil || st.Plan.Members != 2 || st.StartedAt != nil {
			return fmt.Errorf("the upgrade is %s: %s", st.Phase, st.Message)
		}
		if !slices.Equal(st.Plan.Blocked.Names, []string{"west"}) {
			return fmt.Errorf("blocked: %v", st.Plan.Blocked)
		}
		hash = st.Plan.Hash
		return nil
	})
	return hash
}

// upgrade is the only record of an upgrade.
func (s *suite) upgrade(ctx context.Context) (*meshv1alpha1.MeshUpgrade, error) {
	found := &meshv1alpha1.MeshUpgradeList{}
	if err := s.hub.admin.List(ctx, found, client.InNamespace(operatorNamespace)); err != nil {
		return nil, err
	}
	if len(found.Items) != 1 {
		return nil, fmt.Errorf("upgrades: %v", found.Items)
	}
	return &found.Items[0], nil
}

// unwritten fails when the operator has written anything in a member since a moment. Reviews of its own permissions and
// dry runs are questions.
func (s *suite) unwritten(t *testing.T, since time.Time) {
	t.Helper()
	for _, name := range both {
		asked, tried := 0, 0
		for _, one := range s.members[name].writes(t, since) {
			if strings.HasPrefix(one.ObjectRef.Resource, "selfsubject") {
				asked++
				continue
			}
			if one.isDryRun() {
				tried++
				continue
			}
			t.Errorf("%s: written while only planned: %s", name, one)
		}
		if asked == 0 || tried == 0 {
			t.Errorf("%s: the audit log has %d questions about permissions and %d dry runs, so it proves nothing", name, asked, tried)
		}
	}
}
