package webhooks

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// checkVersion refuses releases that the operator cannot install, and ways back: the way back from an upgrade that
// failed is to the version that the mesh still runs.
func checkVersion(c *change) field.ErrorList {
	if !c.isVersionChanged() {
		return nil
	}
	path, version := field.NewPath("spec", "version"), c.inst.Spec.Version
	if _, ok := istioversion.Lookup(version); !ok {
		return field.ErrorList{field.NotSupported(path, version, istioversion.Supported())}
	}
	if c.old == nil {
		return nil
	}
	running := c.old.Status.EffectiveVersion
	if running != "" && istioversion.Compare(version, running) < 0 {
		return field.ErrorList{field.Invalid(path, version, fmt.Sprintf(
			"is older than %s, which the mesh runs: control planes are not downgraded, so write %s or newer", running, running))}
	}
	return nil
}
