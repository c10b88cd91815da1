package webhooks

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// checkVersion refuses releases that the operator cannot install, and releases that are too old to follow the one that the mesh runs. One
// that is older gets a warning, as does one that upstream does not support or that has a known defect.
func checkVersion(c *change, now time.Time) (field.ErrorList, admission.Warnings) {
	if !c.isVersionChanged() {
		return nil, nil
	}
	path, version := field.NewPath("spec", "version"), c.inst.Spec.Version
	release, ok := istioversion.Packaged().Lookup(version)
	if !ok {
		return field.ErrorList{field.NotSupported(path, version, istioversion.Supported())}, nil
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
	if _, err := istioversion.Packaged().Path(running, version); err != nil {
		return field.ErrorList{field.Invalid(path, version, fmt.Sprintf("%s; write %s or a release in between", err, running))}, nil
	}
	return nil, append(warnings, fmt.Sprintf(
		"%s: %s is older than %s, which the mesh runs. Fixes and features of %s are lost, and fields that only %s knows have no effect; "+
			"CRDs stay as they are. Every member goes back by waves and gates, with restarts", path, version, running, running, running))
}
