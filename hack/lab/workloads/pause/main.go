// Command pause is what keeps a pod's namespaces: it sleeps until it is told to stop.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	// Waiting for a signal, not on an empty select: the runtime would call that a
	// deadlock and exit.
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	// A pod with a shared process namespace leaves its orphans to this process.
	signal.Ignore(syscall.SIGCHLD)
	<-signals
}
