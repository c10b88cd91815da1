//go:build !linux

// Command labctl runs real Kubernetes clusters, each with its own network, on one Linux machine.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "labctl: the lab is made of Linux namespaces; run it on Linux, for example in a virtual machine")
	os.Exit(1)
}
