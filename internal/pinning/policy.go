package pinning

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Policy is what whoever runs the operator says of sources of charts.
type Policy struct {
	// Default is the source of releases whose charts are not in the operator's image, for meshes whose spec names none: a URL that begins
	// with oci://, https:// or http://. Empty: there is none.
	Default string
	// Allowed are the sources that a spec may name, as status.charts names them. One that ends with a slash stands for all that begin with
	// it. Empty: all.
	Allowed []string
}

// Validate says what is wrong with the default source.
func (p Policy) Validate() error {
	if p.Default == "" {
		return nil
	}
	u, err := url.Parse(p.Default)
	if err != nil || !slices.Contains([]string{"oci", "https", "http"}, u.Scheme) || u.Host == "" || u.User != nil {
		return fmt.Errorf("set --charts to a URL that begins with oci://, https:// or http://, without credentials")
	}
	return nil
}

// Refusal says why a source may not be used, with the cure. Empty: it may. The default source always may.
func (p Policy) Refusal(c *meshv1alpha1.Charts) string {
	source, _, _ := strings.Cut(mesh.ChartSource(c), " ")
	switch {
	case len(p.Allowed) == 0:
		return ""
	case c.Proxy != "":
		// Whoever chooses a proxy and an authority chooses who answers for the source.
		return "spec.charts.proxy cannot be used while the operator limits sources by --charts-allowed: set HTTPS_PROXY of the operator"
	case source == p.Default || slices.ContainsFunc(p.Allowed, func(allowed string) bool { return isBelow(source, allowed) }):
		return ""
	}
	return fmt.Sprintf("the source %s is not among those that the operator allows by --charts-allowed: use one of %s", source, mesh.List(p.Allowed, len(p.Allowed)))
}

// isBelow says whether a source is an allowed one, or begins with one that ends with a slash. What a server or client may read as another
// path is not.
func isBelow(source, allowed string) bool {
	rest, begins := strings.CutPrefix(source, allowed)
	return source == allowed || begins && strings.HasSuffix(allowed, "/") && !strings.Contains(rest, "..") && !strings.ContainsAny(rest, `%?#\`)
}

// sourceOf is where the charts of a spec are. Nil: in the operator's image, or nowhere.
func (p Policy) sourceOf(inst *meshv1alpha1.MeshInstallation) *meshv1alpha1.Charts {
	if inst.Spec.Charts != nil {
		return inst.Spec.Charts
	}
	if _, isPackaged := istioversion.Packaged().Lookup(inst.Spec.Version); isPackaged || p.Default == "" {
		return nil
	}
	if strings.HasPrefix(p.Default, "oci://") {
		return &meshv1alpha1.Charts{OCI: p.Default}
	}
	return &meshv1alpha1.Charts{Repository: p.Default}
}
