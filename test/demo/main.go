// Command demo shows Meshfleet at work on three real clusters: it brings the lab up, installs the operator as a pod
// on the hub, applies the sample MeshInstallation and proves with real requests that east and west are one mesh. It
// leaves everything running to be explored and exits with status 0 only if every proof holds.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/meshfleet/meshfleet/test/harness"
)

func main() {
	if err := demo(); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo failed: %v\n", err)
		os.Exit(1)
	}
}

func demo() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env, err := harness.New(harness.Options{})
	if err != nil {
		return err
	}
	if err := run(ctx, env); err != nil {
		env.Dump(ctx, "demo")
		return err
	}
	return nil
}
