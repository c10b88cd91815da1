//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// refusedObjects asks for a memory request above its limit: the API servers say so in a dry run, the upgrade ends, and nothing
// was touched.
func (s *suite) refusedObjects(t *testing.T) {
	ctx := t.Context()
	limit := []string{"resources", "limits", "memory"}
	before, err := s.env.Upgrades(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.keepSpec(t)
	from := time.Now()
	s.step(t, "ask for less memory than istiod requests", func() error {
		var changeErr error
		if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { changeErr = harness.SetValue(m, "64Mi", limit...) }); err != nil {
			return err
		}
		return changeErr
	})
	s.step(t, "the upgrade ends with the API server's words", func() error {
		u, err := s.env.AwaitUpgrade(ctx, before, planDeadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradeRolledBack},
			func(*meshv1alpha1.MeshUpgrade, string) error { return nil })
		if err != nil {
			return err
		}
		s.env.Logf("  %s", u.Status.Message)
		if !strings.Contains(u.Status.Message, "must be less than or equal to memory limit") {
			t.Errorf("the message is %q", u.Status.Message)
		}
		return nil
	})
	s.requireUntouched(t, from)
	s.requireNotTriedAgain(t)
}

// noSecondIstiod makes an API server refuse every new Deployment of an istiod, except in dry runs.
const noSecondIstiod = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: no-second-istiod
spec:
  matchConstraints:
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [deployments]
  validations:
  - expression: (has(request.dryRun) && request.dryRun) || !object.metadata.name.startsWith('istiod-')
    message: no second istiod here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: no-second-istiod
spec:
  policyName: no-second-istiod
  validationActions: [Deny]
`

// refusedLate has the target refused when it is installed and for as long as the member goes back: that needs nothing of it.
func (s *suite) refusedLate(t *testing.T) {
	east := s.env.Cluster("east")
	if err := east.Apply(t.Context(), noSecondIstiod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(east.Delete(context.Background(), noSecondIstiod)); err != nil {
			t.Error(err)
		}
	})
	// The API server takes a policy into account a moment after it was written.
	time.Sleep(5 * time.Second)
	s.goesBack(t, "no second istiod here", value("61", "env", "PILOT_PUSH_THROTTLE"), nil)
}
