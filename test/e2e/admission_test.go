//go:build e2e

package e2e

import (
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// member returns a member that uses the Secret of one of the lab's clusters.
func member(name, secretOf string) meshv1alpha1.Member {
	return meshv1alpha1.Member{
		Name: name,
		ClusterRef: meshv1alpha1.ClusterRef{KubeconfigSecret: &meshv1alpha1.SecretKeyRef{
			Name: harness.KubeconfigSecretName(secretOf), Key: harness.KubeconfigSecretKey,
		}},
	}
}

// admission puts objects that must be refused before the real API server and the real webhook. Each refusal names the
// field.
func (s *suite) admission(t *testing.T) {
	valid := func() *meshv1alpha1.MeshInstallation {
		m := &meshv1alpha1.MeshInstallation{}
		m.Namespace, m.Name = harness.OperatorNamespace, "other"
		m.Spec.Version = harness.NewestIstio
		m.Spec.Members = []meshv1alpha1.Member{member("fresh", "fresh")}
		return m
	}
	cases := map[string]struct {
		edit func(*meshv1alpha1.MeshInstallation)
		// wantField is empty for an object that is fine.
		wantField string
	}{
		"accepts a mesh over another cluster": {
			edit: func(*meshv1alpha1.MeshInstallation) {},
		},
		"refuses an alias of a release": {
			edit:      func(m *meshv1alpha1.MeshInstallation) { m.Spec.Version = "1.31" },
			wantField: "spec.version",
		},
		"refuses a release with a prefix": {
			edit:      func(m *meshv1alpha1.MeshInstallation) { m.Spec.Version = "v" + harness.NewestIstio },
			wantField: "spec.version",
		},
		"refuses a release that the operator cannot install": {
			edit:      func(m *meshv1alpha1.MeshInstallation) { m.Spec.Version = "9.9.9" },
			wantField: "spec.version",
		},
		"refuses a value that the chart does not know": {
			edit: func(m *meshv1alpha1.MeshInstallation) {
				m.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(`{"autoscaleEnabeld": false}`)}
			},
			wantField: "spec.controlPlane.values",
		},
		"refuses a member that another mesh holds": {
			edit: func(m *meshv1alpha1.MeshInstallation) {
				m.Spec.Members = []meshv1alpha1.Member{member("east", "east")}
			},
			wantField: "spec.members",
		},
		"refuses the same cluster twice": {
			edit: func(m *meshv1alpha1.MeshInstallation) {
				m.Spec.Members = []meshv1alpha1.Member{member("one", "fresh"), member("two", "fresh")}
			},
			wantField: "spec.members",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := valid()
			c.edit(m)
			requireRefusal(t, s.env.Hub.Client.Create(t.Context(), m, client.DryRunAll), c.wantField)
		})
	}
	t.Run("accepts the release before, as a dry run", func(t *testing.T) {
		m, err := s.env.Installation(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.Spec.Version = harness.FormerIstio
		requireRefusal(t, s.env.Hub.Client.Update(t.Context(), m, client.DryRunAll), "")
	})
}

// requireRefusal checks that an error is a refusal which names the field, or that there is none.
func requireRefusal(t *testing.T, err error, wantField string) {
	t.Helper()
	switch {
	case wantField == "" && err != nil:
		t.Errorf("want the object accepted, got: %v", err)
	case wantField != "" && err == nil:
		t.Errorf("want a refusal that names %s, but the object was accepted", wantField)
	case wantField != "" && !strings.Contains(err.Error(), wantField):
		t.Errorf("want a refusal that names %s, got: %v", wantField, err)
	case err != nil:
		t.Logf("refused: %v", err)
	}
}
