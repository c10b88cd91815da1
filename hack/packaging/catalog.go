package main

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/catalog"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

func runCatalog(args []string) error {
	flags := flag.NewFlagSet("packaging catalog", flag.ContinueOnError)
	root := flags.String("root", defaultRoot, "root of the repository")
	output := flags.String("output", "", "directory to write to; default: bin/catalog in the root of the repository")
	var bundles []catalog.Bundle
	flags.Func("bundle", "directory of a bundle, and behind an equals sign its image (default: the operator's with -bundle behind the repository, and "+
		"the tag v<version>); can be given several times; default: bundle in the root of the repository", func(text string) error {
		dir, image, _ := strings.Cut(text, "=")
		bundles = append(bundles, catalog.Bundle{Dir: dir, Image: image})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(bundles) == 0 {
		bundles = []catalog.Bundle{{Dir: filepath.Join(*root, "bundle")}}
	}
	if *output == "" {
		*output = filepath.Join(*root, "bin", "catalog")
	}
	history, err := releases.Load(filepath.Join(*root, module, historyFile))
	if err != nil {
		return err
	}
	config, err := catalog.Build(history, bundles)
	if err != nil {
		return err
	}
	if err := catalog.Write(config, *output); err != nil {
		return err
	}
	fmt.Printf("catalog in %s\n", *output)
	for _, channel := range config.Channels {
		for _, entry := range channel.Entries {
			fmt.Printf("  %-9s %s\n", channel.Name, entry.Name)
		}
	}
	return nil
}
