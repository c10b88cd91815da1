//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meshfleet/meshfleet/hack/lab/internal/artifacts"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster"
)

func newBuild() *cobra.Command {
	selected, argoCD := selection{certManager: true}, false
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the programs and images that clusters run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			builder, root, err := newBuilder(cluster.NewProgress())
			if err != nil {
				return err
			}
			if _, err = selected.build(cmd.Context(), builder); err != nil || !argoCD {
				return err
			}
			return buildArgoCD(cmd.Context(), builder, filepath.Join(root, "bin", "lab", "argo-cd"))
		},
	}
	cmd.Flags().StringSliceVar(&selected.istio, "istio", []string{defaultIstio}, "Istio versions to build images of")
	cmd.Flags().BoolVar(&selected.certManager, "cert-manager", true, "build cert-manager's image")
	cmd.Flags().BoolVar(&selected.prometheus, "prometheus", false, "build Prometheus's image")
	cmd.Flags().BoolVar(&selected.olm, "olm", false, "build the images of the Operator Lifecycle Manager")
	cmd.Flags().BoolVar(&argoCD, "argo-cd", false, "build Argo CD, for tests that run it beside the clusters: bin/lab/argo-cd")
	return cmd
}

func newArchive() *cobra.Command {
	return &cobra.Command{
		Use:   "archive IMAGE",
		Short: "Print the archive of one of the lab's images, to make others of it; it is built when it is missing",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := artifacts.ImageNamed(args[0])
			if err != nil {
				return err
			}
			// Standard output is for the path alone.
			progress := func(format string, args ...any) {
				cmd.PrintErrf(format+"\n", args...)
			}
			builder, _, err := newBuilder(progress)
			if err != nil {
				return err
			}
			paths, err := builder.Ensure(cmd.Context(), name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), paths[name])
			return err
		},
	}
}

// buildArgoCD fills dir with links to Argo CD's programs and manifests.
func buildArgoCD(ctx context.Context, builder *artifacts.Builder, dir string) error {
	if err := builder.EnsureHostPackages(ctx, artifacts.ArgoCDPackages()...); err != nil {
		return err
	}
	paths, err := builder.Ensure(ctx, artifacts.ArgoCD)
	if err != nil {
		return err
	}
	files, err := os.ReadDir(paths[artifacts.ArgoCD])
	if err != nil {
		return fmt.Errorf("read what was built of Argo CD: %w", err)
	}
	links := map[string]string{}
	for _, f := range files {
		links[f.Name()] = paths[artifacts.ArgoCD]
	}
	return link(dir, links)
}

func newEnv() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print a directory with kube-apiserver, etcd and kubectl, for tests that run only these",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Standard output is for the directory alone.
			progress := func(format string, args ...any) {
				cmd.PrintErrf(format+"\n", args...)
			}
			builder, root, err := newBuilder(progress)
			if err != nil {
				return err
			}
			paths, err := builder.Ensure(cmd.Context(), artifacts.Kubernetes, artifacts.Etcd)
			if err != nil {
				return err
			}
			dir := filepath.Join(root, "bin", "lab", "envtest")
			err = link(dir, map[string]string{
				"kube-apiserver": paths[artifacts.Kubernetes], "kubectl": paths[artifacts.Kubernetes],
				"etcd": paths[artifacts.Etcd],
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
			return err
		},
	}
}

// link fills dir with links to programs in other directories, replacing older ones.
func link(dir string, programs map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("link programs: %w", err)
	}
	for name, source := range programs {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("link programs: %w", err)
		}
		if err := os.Symlink(filepath.Join(source, name), path); err != nil {
			return fmt.Errorf("link programs: %w", err)
		}
	}
	return nil
}
