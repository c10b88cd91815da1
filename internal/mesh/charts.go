package mesh

import (
	"cmp"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// maxPins is how many pinned charts the status has at most, as its field says.
const maxPins = 16

// ChartSource names a source of charts, as status.charts does. Empty: there is none.
func ChartSource(c *meshv1alpha1.Charts) string {
	if c == nil {
		return ""
	}
	source := cmp.Or(c.OCI, c.Repository)
	switch archives := c.Archives; {
	case archives == nil:
	case archives.SecretRef != nil:
		source = "secret/" + archives.SecretRef.Name
	case archives.ConfigMapRef != nil:
		source = "configmap/" + archives.ConfigMapRef.Name
	}
	if c.VersionSuffix != "" {
		source += " " + c.VersionSuffix
	}
	return source
}

// Pinned are the charts of a version that were fetched last for a mesh. An empty source stands for any. Nil: none were.
func Pinned(st *meshv1alpha1.MeshInstallationStatus, version, source string) *meshv1alpha1.PinnedCharts {
	for i := len(st.Charts) - 1; i >= 0; i-- {
		if p := &st.Charts[i]; p.Version == version && (source == "" || p.Source == source) {
			return p
		}
	}
	return nil
}

// Pin notes charts that were fetched. They take the place of others of the same version and source.
func Pin(st *meshv1alpha1.MeshInstallationStatus, pin meshv1alpha1.PinnedCharts) {
	st.Charts = slices.DeleteFunc(slices.Clone(st.Charts), func(p meshv1alpha1.PinnedCharts) bool {
		return p.Version == pin.Version && p.Source == pin.Source
	})
	st.Charts = append(st.Charts, pin)
	st.Charts = st.Charts[max(0, len(st.Charts)-maxPins):]
}
