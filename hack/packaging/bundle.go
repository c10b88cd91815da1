package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/bundle"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

// The root of the repository, seen from the directory of the module, in which the Makefile runs the program; and the module's files.
const (
	defaultRoot = "../.."
	module      = "hack/packaging"
	imagesFile  = "images.yaml"
	historyFile = "releases.yaml"
	reasonsFile = "warnings.yaml"
)

func runBundle(args []string) error {
	flags := flag.NewFlagSet("packaging bundle", flag.ContinueOnError)
	root := flags.String("root", defaultRoot, "root of the repository")
	output := flags.String("output", "", "directory to write to; default: bundle in the root of the repository")
	version := flags.String("version", "", "version of the operator, with or without a leading v")
	image := flags.String("image", "", "operator's image; default: that of config/manager")
	isRelease := flags.Bool("release", false, "fail when an image has no digest")
	if err := flags.Parse(args); err != nil {
		return err
	}
	options, err := bundleOptions(*root, *version)
	if err != nil {
		return err
	}
	options.Image, options.Release = *image, *isRelease
	built, err := bundle.Build(options)
	if err != nil {
		return err
	}
	if *output == "" {
		*output = filepath.Join(*root, "bundle")
	}
	if err := built.Write(*output); err != nil {
		return err
	}
	for _, missing := range built.LeftOut {
		fmt.Printf("bundle: %s has no digest and is left out of relatedImages\n", missing)
	}
	fmt.Printf("bundle %s in %s\n", built.CSV.Name, *output)
	return nil
}

func bundleOptions(root, text string) (bundle.Options, error) {
	o := bundle.Options{Root: root}
	var err error
	if o.Version, err = releases.ParseVersion(text); err != nil {
		return o, fmt.Errorf("--version: %w", err)
	}
	if o.Images, err = images.Load(filepath.Join(root, module, imagesFile)); err != nil {
		return o, err
	}
	if o.History, err = releases.Load(filepath.Join(root, module, historyFile)); err != nil {
		return o, err
	}
	o.Created, err = created(os.Getenv("SOURCE_DATE_EPOCH"))
	return o, err
}

// created is the time in SOURCE_DATE_EPOCH, in seconds since 1970, so that the same source gives the same bundle. Zero if it is not set.
func created(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is no number of seconds", epoch)
	}
	return time.Unix(seconds, 0), nil
}
