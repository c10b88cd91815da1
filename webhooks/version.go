package webhooks

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// checkVersion refuses releases that the operator cannot install, and releases that are too old to follow the one that the mesh runs. One
// that is older gets a warning, as does one that upstream does not support or that has a known defect.
func checkVersion(c *change, now time.Time, hasDefault bool) (field.ErrorList, admission.Warnings) {
	if !c.isVersionChanged() && !c.isSourceChanged() {
		return nil, nil
	}
	path, version := field.NewPath("spec", "version"), c.inst.Spec.Version
	release, err := installable(c.inst, hasDefault)
	if err != nil {
		return field.ErrorList{field.Invalid(path, version, err.Error())}, nil
	}
	var warnings admission.Warnings
	_, concerns := release.Concerns(now)
	for _, text := range concerns {
		warnings = append(warnings, fmt.Sprintf("%s: %s", path, text))
	}
	if c.old == nil {
		return nil, warnings
	}
	running := c.old.Status.EffectiveVersion
	if running == "" || istioversion.Compare(version, running) >= 0 {
		return nil, warnings
	}
	if _, err := istioversion.Packaged().With(release).Path(running, version); err != nil {
		return field.ErrorList{field.Invalid(path, version, fmt.Sprintf("%s; write %s or a release in between", err, running))}, nil
	}
	return nil, append(warnings, fmt.Sprintf(
		"%s: %s is older than %s, which the mesh runs. Fixes and features of %s are lost, and fields that only %s knows have no effect; "+
			"CRDs stay as they are. Every member goes back by waves and gates, with restarts", path, version, running, running, running))
}

// installable is the release of a spec. Errors: its charts are nowhere, or the operator knows nothing of its minor version. HasDefault says
// that the operator has a source of charts for those that are not in its image.
func installable(inst *meshv1alpha1.MeshInstallation, hasDefault bool) (istioversion.Release, error) {
	version := inst.Spec.Version
	release, isPackaged := istioversion.Packaged().Lookup(version)
	if isPackaged {
		return release, nil
	}
	release, isKnown := istioversion.Of(version)
	switch {
	case !isKnown:
		return release, fmt.Errorf("this operator does not know it; write one of %s, or another patch of these minor versions together with spec.charts",
			strings.Join(istioversion.Supported(), ", "))
	case inst.Spec.Charts == nil && !hasDefault:
		return release, fmt.Errorf("its charts are not in the operator's image; set spec.charts to where they are, or write one of %s",
			strings.Join(istioversion.Supported(), ", "))
	}
	return release, nil
}
