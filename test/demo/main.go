// Command demo shows Meshfleet at work on real clusters. It has two stories:
//
//   - without an argument: one mesh over two members, proved with real requests;
//   - with the argument "upgrade": a canary upgrade of three members to another Istio release, while requests flow.
//
// It brings the lab up and installs the operator as a pod on the hub. It leaves everything running to be explored. It
// exits with status 0 only if every proof holds.
package main

import (
	"fmt"
	"os"
)

func main() {
	switch args := os.Args[1:]; {
	case len(args) == 0:
		demoMesh()
	case len(args) == 1 && args[0] == "upgrade":
		demoUpgrade()
	default:
		fmt.Fprintf(os.Stderr, "demo: unknown arguments %q; use no argument, or \"upgrade\"\n", args)
		os.Exit(2)
	}
}
