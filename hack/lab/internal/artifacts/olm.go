package artifacts

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

const (
	olmModule      = "github.com/operator-framework/operator-lifecycle-manager"
	registryModule = "github.com/operator-framework/operator-registry"
)

// operatorFrameworkPrograms are OLM's two operators, what it runs to unpack bundles and to serve catalogs, and the probe of catalogs. One
// module has all, because they share their libraries.
func operatorFrameworkPrograms() goPrograms {
	// opm, and OLM through it, link a library for signatures that needs C. The tag chooses the one in Go.
	const tags = "containers_image_openpgp"
	const (
		stamp    = "-X " + olmModule + "/pkg/version.OLMVersion=" + olmVersion
		opmStamp = "-X " + registryModule + "/cmd/opm/version.opmVersion=v" + opmVersion
	)
	return goPrograms{
		dir: "artifacts/olm", sources: []string{".", "healthprobe"},
		programs: []goProgram{
			{name: "olm", pkg: olmModule + "/cmd/olm", tags: tags, ldflags: stamp},
			{name: "catalog", pkg: olmModule + "/cmd/catalog", tags: tags, ldflags: stamp},
			{name: "cpb", pkg: olmModule + "/util/cpb", tags: tags},
			{name: "opm", pkg: registryModule + "/cmd/opm", tags: tags, ldflags: opmStamp},
			{name: "grpc_health_probe", pkg: "./healthprobe"},
		},
	}
}

// olmImage has both operators of OLM, and the two programs that it copies into a bundle's pod to unpack it.
func olmImage() recipe {
	return programsImage("lab.local/olm:v"+olmVersion, "/bin/olm", olmUser, map[string]program{
		"/bin/olm": {olmPrograms, "olm"}, "/bin/catalog": {olmPrograms, "catalog"}, "/bin/cpb": {olmPrograms, "cpb"}, "/bin/cp": {cpProgram, "cp"},
	})
}

// opmImage serves catalogs, and is the base of their images.
func opmImage() recipe {
	return programsImage("lab.local/opm:v"+opmVersion, "/bin/opm", olmUser, map[string]program{
		"/bin/opm": {olmPrograms, "opm"}, "/bin/grpc_health_probe": {olmPrograms, "grpc_health_probe"},
	})
}

// OLMCRDs returns the CustomResourceDefinitions of the OLM that ImageOLM runs, as one YAML stream.
func (b *Builder) OLMCRDs(ctx context.Context) ([]byte, error) {
	return b.moduleCRDs(ctx, "artifacts/olm", olmModule, "deploy/chart/crds")
}

// program is one of the programs of an artifact.
type program struct {
	of   Name
	name string
}

// programsImage is the recipe of an image with several static programs, by their paths in it.
func programsImage(ref, entrypoint string, uid int, programs map[string]program) recipe {
	var needs []Name
	for _, p := range programs {
		if !slices.Contains(needs, p.of) {
			needs = append(needs, p.of)
		}
	}
	slices.Sort(needs)
	return recipe{
		ref: ref, needs: needs,
		build: func(_ context.Context, s *session, out string) error {
			files := baseFiles(uid)
			for path, p := range programs {
				files = append(files, writer.Program(path, filepath.Join(s.paths[p.of], p.name)))
			}
			return writeImage(out, ref, uid, entrypoint, files)
		},
	}
}
