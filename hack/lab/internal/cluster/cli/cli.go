//go:build linux

// Package cli is the command line of the lab. It joins the builder of artifacts to the engine that runs clusters; neither
// knows the other.
package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meshfleet/meshfleet/hack/lab/internal/artifacts"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/node"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

const defaultIstio = "1.31.0"

// New returns the root command.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "labctl",
		Short:         "Run real Kubernetes clusters on one Linux machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newBuild(), newArchive(), newEnv(), newUp(), newDown(), newStatus(), newLoadImage(), newLink(),
		newComponent("start", "Start a component that was stopped"),
		newComponent("stop", "Stop a component until it is started again"),
		newComponent("restart", "Stop a component and start it again"),
		newNodeInit(),
	)
	return root
}

// newNodeInit is not for people: the engine runs it as the first process of a node.
func newNodeInit() *cobra.Command {
	return &cobra.Command{
		Use:    cluster.NodeCommand + " DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return node.Run(state.Dir(args[0]), os.Stdin)
		},
	}
}

func newEngine() (*cluster.Engine, error) { return cluster.New(cluster.NewProgress()) }

// repository returns the root of the working tree around the current directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "hack", "lab", "artifacts")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run labctl inside the repository: it builds from the files in hack/lab")
		}
		dir = parent
	}
}

func newBuilder(progress cluster.Progress) (builder *artifacts.Builder, root string, err error) {
	if root, err = repository(); err != nil {
		return nil, "", err
	}
	builder, err = artifacts.New(filepath.Join(root, "hack", "lab"), progress)
	return builder, root, err
}
