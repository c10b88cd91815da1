//go:build linux

// Command labctl runs real Kubernetes clusters, each with its own network, on one Linux machine.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/cli"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "labctl:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.New().ExecuteContext(ctx)
}
