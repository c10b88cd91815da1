package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/catalog"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/validate"
)

func runValidate(args []string) error {
	flags := flag.NewFlagSet("packaging validate", flag.ContinueOnError)
	root := flags.String("root", defaultRoot, "root of the repository")
	dir := flags.String("bundle", "", "directory of the bundle; default: bundle in the root of the repository")
	catalogDir := flags.String("catalog", "", "directory of a catalog that is checked too; default: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		*dir = filepath.Join(*root, "bundle")
	}
	err := validateBundle(*dir, filepath.Join(*root, module, reasonsFile))
	if *catalogDir != "" {
		err = errors.Join(err, catalog.Check(context.Background(), *catalogDir))
	}
	return err
}

// validateBundle fails on errors, on warnings without a reason, and on reasons without a warning.
func validateBundle(dir, reasonsPath string) error {
	reasons, err := validate.LoadReasons(reasonsPath)
	if err != nil {
		return err
	}
	problems, warnings, err := validate.Bundle(dir)
	if err != nil {
		return err
	}
	unexplained, unused := validate.Explain(warnings, reasons)
	var all []error
	for _, p := range problems {
		all = append(all, fmt.Errorf("error of %s", p))
	}
	for _, w := range unexplained {
		all = append(all, fmt.Errorf("warning of %s: cure it, or give a reason in %s", w, reasonsPath))
	}
	for _, r := range unused {
		all = append(all, fmt.Errorf("%s warns no longer of %q: take the reason out of %s", r.Validator, r.Warning, reasonsPath))
	}
	if len(all) > 0 {
		return errors.Join(all...)
	}
	fmt.Printf("bundle %s: no errors, %d warnings with reasons\n", dir, len(warnings))
	return nil
}
