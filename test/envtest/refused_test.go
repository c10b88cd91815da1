package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

func istiodValues(text string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.ControlPlane.Values = nil
		if text != "" {
			inst.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(text)}
		}
	}
}

// refusedObjects asks for targets that the API servers of the members refuse: by a dry run before anything changes, and by a
// policy that lets dry runs pass. Each ends by itself, and what is asked for next begins.
func (s *suite) refusedObjects(t *testing.T) {
	s.awaitCalm(t)
	start := time.Now()
	for _, c := range []struct{ name, values, want string }{
		{"a limit below the chart's request", `{"resources": {"limits": {"memory": "1Gi"}}}`, "must be less than or equal to memory limit"},
		{"a request above its limit", `{"resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "64Mi"}}}`, "must be less than or equal to memory limit"},
		{"a field of another type", `{"affinity": {"nodeAffinity": ["a"]}}`, "nodeAffinity"},
		{"an autoscaler with its ends the wrong way round", `{"autoscaleMin": 6}`, "must be greater than or equal to `minReplicas`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := s.newestUpgrade(t)
			s.edit(t, istiodValues(c.values))
			u := s.awaitEnd(t, before)
			if u.Status.Cause != meshv1alpha1.CauseFailed || !strings.Contains(u.Status.Message, c.want) || !strings.Contains(u.Status.Message, "Preflight") {
				t.Errorf("the upgrade is %s (%s): %s", u.Status.Phase, u.Status.Cause, u.Status.Message)
			}
			await(t, "the mesh says so, with the API server's words", func(ctx context.Context) error {
				inst, err := s.installation(ctx)
				if err != nil {
					return err
				}
				if text := describe(inst.Status.Conditions); !strings.Contains(text, c.want) {
					return fmt.Errorf("conditions: %s", text)
				}
				return stalled(inst.Status.Conditions, meshv1alpha1.ReasonUpgradeFailed)
			})
		})
	}
	s.unwritten(t, start)
	t.Run("the former spec frees the mesh", func(t *testing.T) {
		before := s.newestUpgrade(t)
		s.edit(t, istiodValues(""))
		s.awaitReady(t, both...)
		if after := s.newestUpgrade(t); after != before {
			t.Errorf("upgrade %s has begun", after)
		}
	})
	t.Run("the corrected values begin by themselves", func(t *testing.T) {
		before := s.newestUpgrade(t)
		s.edit(t, istiodValues(`{"resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "128Mi"}}}`))
		await(t, "the first member installs the corrected target", func(ctx context.Context) error {
			m, err := s.member(ctx, "east")
			if err != nil {
				return err
			}
			if o := m.Spec.Rollout; o == nil || o.Upgrade == before || o.Stage != meshv1alpha1.StageInstall || len(m.Status.Revisions) != 2 {
				return fmt.Errorf("rollout %v, revisions %v", o, m.Status.Revisions)
			}
			return nil
		})
		u := s.newestUpgrade(t)
		s.edit(t, istiodValues(""))
		await(t, "the corrected target is taken back", s.isOver(u))
	})
	t.Run("a Gateway of a former install", s.otherGateway)
	t.Run("a policy that lets dry runs pass", s.refusedLate)
	s.edit(t, istiodValues(""))
	s.awaitReady(t, both...)
}

// otherGateway has a Gateway of a former install in the way of an upgrade, at the port of the pods of the east-west gateway.
func (s *suite) otherGateway(t *testing.T) {
	at := s.members["east"].admin
	other := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"selector": map[string]any{"istio": mesh.GatewayLabel}, "servers": []any{map[string]any{
			"port": map[string]any{"number": int64(istio.PassthroughPort), "name": "tls", "protocol": "TLS"},
			"tls":  map[string]any{"mode": "AUTO_PASSTHROUGH"}, "hosts": []any{"*.cluster.local"},
		}},
	}}}
	other.SetGroupVersionKind(istio.GatewayKind)
	other.SetNamespace("default")
	other.SetName("cross-network-gateway")
	must(t, at.Create(t.Context(), other))
	s.edit(t, istiodValues(`{"env": {"PILOT_PUSH_THROTTLE": "70"}}`))
	finds := func(verdict meshv1alpha1.Verdict, words string) func(context.Context) error {
		return func(ctx context.Context) error {
			m, err := s.member(ctx, "east")
			if err != nil || m.Status.Rollout == nil {
				return errors.Join(err, errors.New("no stage of an upgrade is reported"))
			}
			for _, g := range m.Status.Rollout.Gates {
				if g.Name == string(meshv1alpha1.CheckGateways) && g.Verdict == verdict && strings.Contains(g.Message, words) {
					return nil
				}
			}
			return fmt.Errorf("stage %s: %v", m.Status.Rollout.Stage, m.Status.Rollout.Gates)
		}
	}
	await(t, "the preflight names the Gateway", finds(meshv1alpha1.VerdictInconclusive, "default/cross-network-gateway"))
	s.edit(t, istiodValues(""))
	s.awaitReady(t, both...)
	must(t, at.Delete(t.Context(), other))
}

// refusedLate has a target refused when it is installed, and for as long as the member goes back.
func (s *suite) refusedLate(t *testing.T) {
	const words = "no second istiod in a test"
	lift := s.refuseIn(t, "east", words)
	before := s.newestUpgrade(t)
	s.edit(t, istiodValues(`{"env": {"PILOT_PUSH_THROTTLE": "60"}}`))
	u := s.awaitEnd(t, before)
	if u.Status.Cause != meshv1alpha1.CauseFailed || !strings.Contains(u.Status.Message, words) || !strings.Contains(u.Status.Message, "Install") {
		t.Errorf("the upgrade is %s (%s): %s", u.Status.Phase, u.Status.Cause, u.Status.Message)
	}
	m, err := s.member(t.Context(), "east")
	must(t, err)
	if len(m.Spec.Revisions) != 1 || m.Spec.DefaultRevision != revision {
		t.Errorf("work order: %v, default %s", m.Spec.Revisions, m.Spec.DefaultRevision)
	}
	await(t, "nothing is left of the target", func(ctx context.Context) error {
		inventories := &corev1.ConfigMapList{}
		if err := s.members["east"].admin.List(ctx, inventories, client.InNamespace(controlPlaneNamespace)); err != nil {
			return err
		}
		for i := range inventories.Items {
			if name := inventories.Items[i].Name; strings.Contains(name, u.Spec.To.Revision) {
				return fmt.Errorf("%s is left", name)
			}
		}
		return nil
	})
	lift()
}

// refuseIn makes the API server of a member refuse every istiod with a suffix, except in dry runs.
func (s *suite) refuseIn(t *testing.T, member, words string) (lift func()) {
	t.Helper()
	const name = "no-second-istiod"
	at := s.members[member].admin
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "(has(request.dryRun) && request.dryRun) || !object.metadata.name.startsWith('istiod-" + revision + "-')", Message: words,
			}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
	must(t, at.Create(t.Context(), policy))
	must(t, at.Create(t.Context(), binding))
	lift = func() {
		must(t, client.IgnoreNotFound(at.Delete(context.Background(), binding)))
		must(t, client.IgnoreNotFound(at.Delete(context.Background(), policy)))
	}
	t.Cleanup(lift)
	await(t, "the policy is in force", func(ctx context.Context) error {
		probe := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "istiod-" + revision + "-probe"}}
		probe.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "probe"}}
		probe.Spec.Template.Labels = probe.Spec.Selector.MatchLabels
		probe.Spec.Template.Spec.Containers = []corev1.Container{{Name: "probe", Image: "probe"}}
		err := at.Create(ctx, probe)
		if err == nil {
			must(t, at.Delete(ctx, probe))
		}
		return refused(err, words)
	})
	return lift
}

// newestUpgrade is the name of the newest record, or empty.
func (s *suite) newestUpgrade(t *testing.T) string {
	t.Helper()
	all, err := s.upgrades(t.Context())
	must(t, err)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Name
}

// awaitEnd waits until an upgrade that began after another one is back, and returns it.
func (s *suite) awaitEnd(t *testing.T, before string) *meshv1alpha1.MeshUpgrade {
	t.Helper()
	var u *meshv1alpha1.MeshUpgrade
	await(t, "the upgrade ends", func(ctx context.Context) error {
		all, err := s.upgrades(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(u meshv1alpha1.MeshUpgrade) bool { return u.Name == before })
		if i+1 >= len(all) {
			return fmt.Errorf("no upgrade after %q", before)
		}
		if u = &all[i+1]; u.Status.Phase != meshv1alpha1.UpgradeRolledBack {
			return fmt.Errorf("the upgrade is %s: %s", u.Status.Phase, u.Status.Message)
		}
		return nil
	})
	return u
}

func (s *suite) isOver(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		u := &meshv1alpha1.MeshUpgrade{}
		if err := s.hub.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: name}, u); err != nil {
			return err
		}
		if u.Status.Phase != meshv1alpha1.UpgradeRolledBack {
			return fmt.Errorf("the upgrade is %s: %s", u.Status.Phase, u.Status.Message)
		}
		return nil
	}
}
