package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

// command is a subcommand: `packaging <name> [flags]`.
type command struct {
	name, summary string
	// run gets the arguments behind the name. It returns flag.ErrHelp when they ask for help.
	run func(args []string) error
}

// commands are listed by the help in this order.
var commands = []command{
	{"bundle", "write the OperatorHub bundle", runBundle},
	{"catalog", "write the catalog that offers bundles to OLM", runCatalog},
	{"validate", "check a bundle and a catalog", runValidate},
}

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		usage()
		return errors.New("name a subcommand")
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(args[1:])
		}
	}
	usage()
	return fmt.Errorf("there is no subcommand %q", args[0])
}

func usage() {
	fmt.Fprintln(os.Stderr, "Usage: packaging <subcommand> [flags]")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-10s %s\n", c.name, c.summary)
	}
}
