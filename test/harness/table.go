package harness

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// PrintMembers prints the closing table of a ready mesh.
func (e *Env) PrintMembers(ctx context.Context, ready Readiness) error {
	members, err := e.MeshMembers(ctx)
	if err != nil {
		return err
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "MEMBER\tVERSION\tREVISION\tGATEWAY\tROOT\tPEERS SYNCED\tREADY AFTER")
	for _, m := range members {
		version := ""
		for _, r := range m.Status.Revisions {
			if r.Name == m.Spec.DefaultRevision {
				version = r.Version
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Spec.Cluster, version, m.Spec.DefaultRevision,
			strings.Join(m.Status.Gateway.Addresses, ","), ShortFingerprints(m.Status.Trust.RootFingerprints),
			fmt.Sprintf("%d/%d", m.Status.Discovery.SyncedPeers, len(m.Status.Discovery.Peers)),
			ready.Members[m.Spec.Cluster].Round(100*time.Millisecond))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	e.Printf("\n%s\n", out.String())
	return nil
}

// ShortFingerprints abbreviates fingerprints for people.
func ShortFingerprints(fingerprints []string) string {
	short := make([]string, 0, len(fingerprints))
	for _, f := range fingerprints {
		short = append(short, f[:min(len(f), 16)]+"…")
	}
	return strings.Join(short, ",")
}
