package main

import (
	"flag"
	"fmt"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/chart"
)

func runChart(args []string) error {
	flags := flag.NewFlagSet("chart", flag.ContinueOnError)
	root := flags.String("root", "../..", "root of the repository")
	output := flags.String("output", "../../dist/chart", "directory of the chart; its templates are replaced")
	if err := flags.Parse(args); err != nil {
		return err
	}
	sources, err := chart.Read(*root)
	if err != nil {
		return err
	}
	files, err := chart.Files(sources, chart.Release{})
	if err != nil {
		return err
	}
	if err := chart.Write(*output, files); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}
