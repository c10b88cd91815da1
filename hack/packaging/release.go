package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/release"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/validate"
)

func init() {
	commands = append(commands,
		command{"chart", "write the Helm chart, as it is in the tree", runChart},
		command{"installer", "write the manifests of config/default with an image as one file", runInstaller},
		command{"version", "print the version of a release, given or from the Git tag, if a release can be made", runVersion},
		command{"release", "write all artefacts of a release", runRelease},
	)
}

// artefacts are all artefacts of a release besides the checksums and the provenance, which come last.
func artefacts(hub release.OperatorHub) []release.Artefact {
	return append(release.Artefacts(), hub.Add)
}

// operatorHub reads what the bundle and the catalog of a release are made from.
func operatorHub(root string, allowUnpinned bool) (release.OperatorHub, error) {
	hub := release.OperatorHub{AllowUnpinned: allowUnpinned}
	var err error
	if hub.Images, err = images.Load(filepath.Join(root, module, imagesFile)); err != nil {
		return hub, err
	}
	if hub.History, err = releases.Load(filepath.Join(root, module, historyFile)); err != nil {
		return hub, err
	}
	hub.Reasons, err = validate.LoadReasons(filepath.Join(root, module, reasonsFile))
	return hub, err
}

// unpinnedUsage describes the flag of two subcommands.
const unpinnedUsage = "accept images that have no digest in " + module + "/" + imagesFile

func runInstaller(args []string) error {
	flags := flag.NewFlagSet("installer", flag.ContinueOnError)
	root := flags.String("root", "../..", "root of the repository")
	image := flags.String("image", "", "name of the operator's image")
	output := flags.String("output", "../../dist/release/install.yaml", "file to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *image == "" {
		return errors.New("name the image: --image")
	}
	content, err := release.Installer(*root, *image)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*output), 0o755); err != nil {
		return err
	}
	return os.WriteFile(*output, content, 0o644)
}

func runVersion(args []string) error {
	flags := flag.NewFlagSet("version", flag.ContinueOnError)
	root := flags.String("root", "../..", "root of the repository")
	given := flags.String("version", "", "the version; default: that of the tag of the commit")
	allowDirty := flags.Bool("allow-dirty", false, "accept files that differ from the commit")
	allowUnpinned := flags.Bool("allow-unpinned", false, unpinnedUsage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	version, err := release.Version(*root, *given)
	if err != nil {
		return err
	}
	if !*allowDirty {
		source, err := release.ReadSource(*root)
		if err != nil {
			return err
		}
		if err := source.CheckClean(); err != nil {
			return err
		}
	}
	hub, err := operatorHub(*root, *allowUnpinned)
	if err != nil {
		return err
	}
	if err := hub.CheckPinned(); err != nil {
		return err
	}
	fmt.Println(version)
	return nil
}

func runRelease(args []string) error {
	var o release.Options
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&o.Repository, "root", "../..", "root of the repository")
	flags.StringVar(&o.Output, "output", "../../dist/release", "directory for the artefacts, empty or new")
	flags.StringVar(&o.Version, "version", "", "semantic version without v")
	flags.StringVar(&o.Image, "image", "", "name of the operator's image, without tag and digest")
	flags.StringVar(&o.ImageArchive, "image-archive", "", "OCI layout with the image, as hack/image writes it")
	flags.StringVar(&o.Charts, "charts", "", "directory of Istio's charts in the image")
	flags.StringVar(&o.Builder, "builder", "", "URI of who builds, for the provenance")
	flags.StringVar(&o.Invocation, "invocation", "", "URI of this run, for the provenance; default: none")
	flags.BoolVar(&o.AllowDirty, "allow-dirty", false, "accept files that differ from the commit")
	allowUnpinned := flags.Bool("allow-unpinned", false, unpinnedUsage)
	binaries := flags.String("binaries", "", "the operator's binaries in the image: amd64=PATH,arm64=PATH")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if o.Binaries, err = parseBinaries(*binaries); err != nil {
		return err
	}
	hub, err := operatorHub(o.Repository, *allowUnpinned)
	if err != nil {
		return err
	}
	r, err := release.Run(o, artefacts(hub))
	if err != nil {
		return err
	}
	fmt.Printf("release %s in %s\n  image  %s\n", r.Version, r.Output, r.Reference())
	for _, name := range slices.Sorted(maps.Keys(r.Images)) {
		fmt.Printf("  image  %s@%s\n", name, r.Images[name])
	}
	for _, image := range r.Unpinned {
		fmt.Printf("  no digest, left out of relatedImages: %s\n", image)
	}
	return nil
}

// parseBinaries reads a list of architectures and paths.
func parseBinaries(list string) (map[string]string, error) {
	binaries := map[string]string{}
	for entry := range strings.SplitSeq(list, ",") {
		arch, path, ok := strings.Cut(entry, "=")
		if !ok || arch == "" || path == "" {
			return nil, fmt.Errorf("binary %q: write ARCHITECTURE=PATH", entry)
		}
		binaries[arch] = path
	}
	return binaries, nil
}
