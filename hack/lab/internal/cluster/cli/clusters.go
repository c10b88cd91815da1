//go:build linux

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster"
)

func newUp() *cobra.Command {
	var request cluster.UpRequest
	var selected selection
	cmd := &cobra.Command{
		Use:   "up --clusters NAME[,NAME…]",
		Short: "Bring clusters up, beside those that run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			progress := cluster.NewProgress()
			engine, err := cluster.New(progress)
			if err != nil {
				return err
			}
			builder, root, err := newBuilder(progress)
			if err != nil {
				return err
			}
			if request.Out == "" {
				request.Out = filepath.Join(root, "bin", "lab")
			}
			if request.Out, err = filepath.Abs(request.Out); err != nil {
				return err
			}
			selected.certManager, selected.prometheus = len(request.CertManagerOn) > 0, len(request.PrometheusOn) > 0
			selected.olm = len(request.OLMOn) > 0
			if request.Materials, err = selected.build(cmd.Context(), builder); err != nil {
				return err
			}
			return engine.Up(cmd.Context(), request)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&request.Clusters, "clusters", nil, "clusters to bring up")
	flags.StringSliceVar(&request.CertManagerOn, "cert-manager-on", nil, "those of the clusters that get cert-manager")
	flags.StringSliceVar(&request.OLMOn, "olm-on", nil, "those of the clusters that get the Operator Lifecycle Manager")
	flags.StringSliceVar(&request.PrometheusOn, "prometheus-on", nil, "those of the clusters that get a Prometheus, which scrapes the proxies there")
	flags.StringSliceVar(&selected.istio, "istio", []string{defaultIstio}, "Istio versions whose images are loaded")
	flags.StringVar(&request.Out, "out", "", "directory for kubeconfigs and links to audit logs (default bin/lab of the repository)")
	flags.DurationVar(&request.Timeout, "timeout", cluster.BootLimit, "how long clusters may take to be complete, without what is built")
	_ = cmd.MarkFlagRequired("clusters")
	return cmd
}

func newDown() *cobra.Command {
	var clusters []string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove clusters and everything they left on the machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			engine, err := newEngine()
			if err != nil {
				return err
			}
			return engine.Down(cmd.Context(), clusters)
		},
	}
	cmd.Flags().StringSliceVar(&clusters, "clusters", nil, "clusters to remove (default all)")
	return cmd
}

func newStatus() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show all clusters",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("output format %q: only json is known", output)
			}
			engine, err := newEngine()
			if err != nil {
				return err
			}
			statuses, err := engine.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(statuses)
			}
			return printStatus(cmd.OutOrStdout(), statuses)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json for programs")
	return cmd
}

func printStatus(out io.Writer, statuses []cluster.Status) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := []string{"CLUSTER\tRUNNING\tCOMPLETE\tAPI\tNODE\tLINK\tADDRESS\tNOT RUNNING\tRESTARTS"}
	for _, s := range statuses {
		down, restarts := "", 0
		for _, component := range s.Components {
			restarts += component.Restarts
			if !component.Running {
				down += component.Name + " "
			}
		}
		if down == "" {
			down = "-"
		}
		rows = append(rows, fmt.Sprintf("%s\t%t\t%t\t%s\t%s\t%s\t%s\t%s\t%d", s.Name, s.Running, s.Complete,
			readyOrNot(s.APIReady), nodeState(s), s.Link, s.Node, down, restarts))
	}
	if _, err := io.WriteString(table, strings.Join(rows, "\n")+"\n"); err != nil {
		return err
	}
	return table.Flush()
}

// nodeState is asked of the API server over the network, which a cut link prevents.
func nodeState(s cluster.Status) string {
	if s.Running && s.Link == "down" {
		return "Unknown"
	}
	return readyOrNot(s.NodeReady)
}

func readyOrNot(ready bool) string {
	if ready {
		return "Ready"
	}
	return "NotReady"
}
