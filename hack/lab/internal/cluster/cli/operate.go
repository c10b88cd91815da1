//go:build linux

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLoadImage() *cobra.Command {
	var clusters []string
	cmd := &cobra.Command{
		Use:   "load-image --clusters NAME[,NAME…] ARCHIVE…",
		Short: "Load image archives into running clusters",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := newEngine()
			if err != nil {
				return err
			}
			return engine.LoadImage(cmd.Context(), clusters, args)
		},
	}
	cmd.Flags().StringSliceVar(&clusters, "clusters", nil, "clusters to load into")
	_ = cmd.MarkFlagRequired("clusters")
	return cmd
}

func newLink() *cobra.Command {
	return &cobra.Command{
		Use:   "link up|down CLUSTER",
		Short: "Connect a cluster to the others and the host, or cut it off",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] != "up" && args[0] != "down" {
				return fmt.Errorf("link %q: say up or down", args[0])
			}
			engine, err := newEngine()
			if err != nil {
				return err
			}
			return engine.Link(args[1], args[0] == "up")
		},
	}
}

func newComponent(action, short string) *cobra.Command {
	return &cobra.Command{
		Use:   action + " CLUSTER COMPONENT",
		Short: short,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := newEngine()
			if err != nil {
				return err
			}
			return engine.Component(cmd.Context(), action, args[0], args[1])
		},
	}
}
