package envtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// change asks for another control plane while one serves. It is held back: nothing is written into the members.
func (s *suite) change(t *testing.T) {
	values := &apiextensionsv1.JSON{Raw: []byte(`{"meshConfig":{"accessLogFile":"/dev/stdout"}}`)}
	for _, c := range []struct {
		name         string
		change, back meshOption
	}{
		{
			"version",
			func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = newer },
			func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Version = version },
		},
		{
			"values of the control plane",
			func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.ControlPlane.Values = values },
			func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.ControlPlane.Values = nil },
		},
		{
			"values of one member",
			func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Members[1].Values = values },
			func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Members[1].Values = nil },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.awaitCalm(t)
			before, err := s.member(t.Context(), "west")
			must(t, err)
			start := time.Now()
			s.edit(t, c.change)
			await(t, "the mesh says that the change is held back", func(ctx context.Context) error {
				inst, err := s.installation(ctx)
				if err != nil {
					return err
				}
				if inst.Status.EffectiveVersion != version {
					t.Errorf("effective version %s, want %s", inst.Status.EffectiveVersion, version)
				}
				if inst.Status.ObservedGeneration != inst.Generation {
					return fmt.Errorf("generation %d is not observed", inst.Generation)
				}
				return stalled(inst.Status.Conditions, meshv1alpha1.ReasonChangeNotApplied)
			})
			s.awaitCalm(t)
			after, err := s.member(t.Context(), "west")
			must(t, err)
			if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
				t.Errorf("work order (-before +after):\n%s", diff)
			}
			s.edit(t, c.back)
			s.awaitReady(t, both...)
			s.awaitCalm(t)
			for _, name := range both {
				for _, one := range s.members[name].writes(t, start) {
					t.Errorf("%s: %s", name, one)
				}
			}
		})
	}
}
