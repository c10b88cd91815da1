//go:build e2e && packaging

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	olmDeadline = 5 * time.Minute
	// olmOwner is the label with the ClusterServiceVersion that an object belongs to.
	olmOwner = "olm.owner"
	// mutatingWebhooks and validatingWebhooks are how many webhooks the operator has.
	mutatingWebhooks, validatingWebhooks = 1, 4
	// certificateLife is less than the life of OLM's certificates, and more than that of any other.
	certificateLife = 700 * 24 * time.Hour
)

// clusterServiceVersion has what OLM reports of a version.
type clusterServiceVersion struct {
	Status struct {
		Phase              string        `json:"phase"`
		Reason             string        `json:"reason"`
		Message            string        `json:"message"`
		CertsRotateAt      metav1.Time   `json:"certsRotateAt"`
		RequirementStatus  []requirement `json:"requirementStatus"`
		CertsLastUpdatedAt metav1.Time   `json:"certsLastUpdated"`
	} `json:"status"`
}

// requirement is what a version needs of the cluster, and whether it is there.
type requirement struct {
	Kind       string        `json:"kind"`
	Name       string        `json:"name"`
	Status     string        `json:"status"`
	Message    string        `json:"message"`
	Dependents []requirement `json:"dependents"`
}

// subscription has what OLM reports of a Subscription.
type subscription struct {
	Status struct {
		State        string             `json:"state"`
		InstalledCSV string             `json:"installedCSV"`
		CurrentCSV   string             `json:"currentCSV"`
		Conditions   []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// readOLM reads an object of OLM in the operator's namespace.
func (s *suite) readOLM(ctx context.Context, kind, name string, into any) error {
	u, err := owned{"operators.coreos.com/v1alpha1", kind, harness.OperatorNamespace, name}.get(ctx, s.env.Hub)
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into)
}

// awaitVersion waits until OLM reports this of a version.
func (s *suite) awaitVersion(ctx context.Context, name string, done func(clusterServiceVersion) bool) error {
	return harness.Await(ctx, "the ClusterServiceVersion "+name, olmDeadline, func(ctx context.Context) (bool, string, error) {
		v := clusterServiceVersion{}
		if err := s.readOLM(ctx, "ClusterServiceVersion", name, &v); err != nil {
			return false, "", err
		}
		return done(v), fmt.Sprintf("%s %s: %s", v.Status.Phase, v.Status.Reason, v.Status.Message), nil
	})
}

// problems are the requirements of a version that are not met, and whatever else is wrong with it.
func (v clusterServiceVersion) problems() []string {
	var out []string
	if v.Status.Phase != "Succeeded" || v.Status.Reason != "InstallSucceeded" {
		out = append(out, fmt.Sprintf("it is %s, %s: %s", v.Status.Phase, v.Status.Reason, v.Status.Message))
	}
	for _, r := range v.Status.RequirementStatus {
		if r.Status != "Present" {
			out = append(out, fmt.Sprintf("%s %s is %s: %s", r.Kind, r.Name, r.Status, r.Message))
		}
		for _, d := range r.Dependents {
			if d.Status != "Satisfied" {
				out = append(out, fmt.Sprintf("%s %s: %s is %s: %s", r.Kind, r.Name, d.Kind, d.Status, d.Message))
			}
		}
	}
	if len(v.Status.RequirementStatus) == 0 {
		out = append(out, "it reports no requirements")
	}
	return out
}

// problems are the conditions of a Subscription that are wrong.
func (s subscription) problems(csv string) []string {
	var out []string
	if s.Status.State != "AtLatestKnown" || s.Status.InstalledCSV != csv || s.Status.CurrentCSV != csv {
		out = append(out, fmt.Sprintf("it is %s with %s installed and %s current", s.Status.State, s.Status.InstalledCSV, s.Status.CurrentCSV))
	}
	for _, c := range s.Status.Conditions {
		if c.Status == metav1.ConditionTrue {
			out = append(out, fmt.Sprintf("%s: %s: %s", c.Type, c.Reason, c.Message))
		}
	}
	return out
}

// requireHealthy wants OLM to report no problem.
func (s *suite) requireHealthy(ctx context.Context, r release) error {
	return harness.Await(ctx, "OLM to report no problem", time.Minute, func(ctx context.Context) (bool, string, error) {
		v, sub := clusterServiceVersion{}, subscription{}
		if err := errors.Join(s.readOLM(ctx, "ClusterServiceVersion", r.csv(), &v), s.readOLM(ctx, "Subscription", "meshfleet", &sub)); err != nil {
			return false, "", err
		}
		problems := append(v.problems(), sub.problems(r.csv())...)
		return len(problems) == 0, strings.Join(problems, "; "), nil
	})
}

// requireCertificates wants every webhook of a version to trust a certificate of OLM's.
func (s *suite) requireCertificates(ctx context.Context, r release) error {
	validating, mutating := &admissionregistrationv1.ValidatingWebhookConfigurationList{}, &admissionregistrationv1.MutatingWebhookConfigurationList{}
	ours := client.MatchingLabels{olmOwner: r.csv()}
	if err := errors.Join(s.env.Hub.Client.List(ctx, validating, ours), s.env.Hub.Client.List(ctx, mutating, ours)); err != nil {
		return err
	}
	bundles := map[string]int{}
	validators, mutators := 0, 0
	for i := range validating.Items {
		for _, w := range validating.Items[i].Webhooks {
			bundles[string(w.ClientConfig.CABundle)]++
			validators++
		}
	}
	for i := range mutating.Items {
		for _, w := range mutating.Items[i].Webhooks {
			bundles[string(w.ClientConfig.CABundle)]++
			mutators++
		}
	}
	if validators != validatingWebhooks || mutators != mutatingWebhooks || len(bundles) != 1 || bundles[""] > 0 {
		return fmt.Errorf("%d validating and %d mutating webhooks with %d authorities (%d without one), want %d and %d with one",
			validators, mutators, len(bundles), bundles[""], validatingWebhooks, mutatingWebhooks)
	}
	v := clusterServiceVersion{}
	if err := s.readOLM(ctx, "ClusterServiceVersion", r.csv(), &v); err != nil {
		return err
	}
	life := v.Status.CertsRotateAt.Sub(v.Status.CertsLastUpdatedAt.Time)
	s.env.Logf("  OLM renews the certificate after %.0f days", life.Hours()/24)
	if life < certificateLife {
		return fmt.Errorf("OLM renews the certificate after %s, want more than %s", life, certificateLife)
	}
	return nil
}

// requireOperator wants the operator of a version to run, and no other.
func (s *suite) requireOperator(ctx context.Context, r release) error {
	d := &appsv1.Deployment{}
	if err := s.env.Hub.Client.Get(ctx, client.ObjectKey{Namespace: harness.OperatorNamespace, Name: harness.OperatorDeployment}, d); err != nil {
		return err
	}
	if got := d.Spec.Template.Spec.Containers[0].Image; got != r.operator {
		return fmt.Errorf("the operator's image is %s, want %s", got, r.operator)
	}
	return nil
}

// storedObjects are the identity, the generation and the spec of all objects of the operator's kinds.
func (s *suite) storedObjects(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, kind := range []string{"MeshInstallation", "MeshMember", "MeshUpgrade", "MeshApproval"} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("mesh.meshfleet.io/v1alpha1")
		list.SetKind(kind + "List")
		if err := s.env.Hub.Client.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			spec, err := json.MarshalIndent(o.Object["spec"], "", " ")
			if err != nil {
				t.Fatal(err)
			}
			out[kind+" "+o.GetName()] = fmt.Sprintf("uid %s, generation %d, spec %s", o.GetUID(), o.GetGeneration(), spec)
		}
	}
	if len(out) <= len(s.env.Members()) {
		t.Fatalf("the hub has only %d objects of the operator's kinds", len(out))
	}
	return out
}

// awaitNothingOf waits until OLM has deleted what it made for a version: the objects that carry its name, and its Deployment.
func (s *suite) awaitNothingOf(ctx context.Context, r release) error {
	return harness.Await(ctx, "the objects of "+r.csv()+" to be gone", olmDeadline, func(ctx context.Context) (bool, string, error) {
		left, err := s.env.Hub.Labelled(ctx, olmOwner+"="+r.csv())
		if err != nil {
			return false, "", err
		}
		exists, err := s.env.Hub.Exists(ctx, "apps/v1", "Deployment", harness.OperatorNamespace, harness.OperatorDeployment)
		return len(left) == 0 && !exists, fmt.Sprintf("%v; the Deployment exists: %t", left, exists), err
	})
}

// reportLeftovers prints what OLM labels as belonging to the operator and has not deleted, and fails for anything that grants or intercepts.
func (s *suite) reportLeftovers(ctx context.Context) error {
	left, err := s.env.Hub.Labelled(ctx, "operators.coreos.com/meshfleet."+harness.OperatorNamespace)
	if err != nil {
		return err
	}
	s.env.Logf("  left: %v", left)
	for _, kind := range []string{"clusterrolebindings", "rolebindings", "webhookconfigurations"} {
		if i := slices.IndexFunc(left, func(o harness.Object) bool { return strings.Contains(o.Resource, kind) }); i >= 0 {
			return fmt.Errorf("%s is left", left[i])
		}
	}
	return nil
}
