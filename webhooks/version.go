package webhooks

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// checkVersion refuses releases that the operator cannot install, and releases that are too old to follow the one that the mesh runs. One
// that is older gets a warning.
func checkVersion(c *change) (field.ErrorList, admission.Warnings) {
	if !c.isVersionChanged() {
		return nil, nil
	}
	path, version := field.NewPath("spec", "version"), c.inst.Spec.Version
	if _, ok := istioversion.Lookup(version); !ok {
		return field.ErrorList{field.NotSupported(path, version, istioversion.Supported())}, nil
	}
	if c.old == nil {
		return nil, nil
	}
	running := c.old.Status.EffectiveVersion
	if running == "" || istioversion.Compare(version, running) >= 0 {
		return nil, nil
	}
	if _, err := istioversion.Known().Path(running, version); err != nil {
		return field.ErrorList{field.Invalid(path, version, fmt.Sprintf("%s; write %s or a release in between", err, running))}, nil
	}
	return nil, admission.Warnings{fmt.Sprintf(
		"%s: %s is older than %s, which the mesh runs. Fixes and features of %s are lost, and fields that only %s knows have no effect; "+
			"CRDs stay as they are. Every member goes back by waves and gates, with restarts", path, version, running, running, running)}
}
