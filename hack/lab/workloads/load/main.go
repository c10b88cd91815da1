// Command load sends requests at a steady rate and accounts for every one.
//
//	load serve            waits for orders through an HTTP API (the default)
//	load run -url … …     makes one run and prints its report
//
// As a pod behind a sidecar it is the user whose requests an upgrade must not
// lose: the tests let it run across a change and read its report.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// linger is how long reports can be read after the last run has ended, when the
// process is told to end.
const linger = 8 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func command(ctx context.Context, args []string, out io.Writer) error {
	mode := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		mode, args = args[0], args[1:]
	}
	switch mode {
	case "serve":
		return serve(ctx, args)
	case "run":
		return runOnce(ctx, args, out)
	}
	return fmt.Errorf("unknown mode %q, want serve or run", mode)
}

func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	addr := flags.String("address", ":9090", "address of the control API")
	if err := flags.Parse(args); err != nil {
		return err
	}
	control := newAPI(ctx)
	srv := &http.Server{Addr: *addr, Handler: control, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	log.Printf("Taking orders on %s", *addr)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done(): // which also ends the runs
	}
	// Who steers the load reads what came of it: nothing that was sent may go uncounted.
	control.finish()
	time.Sleep(linger)
	shutdown, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(shutdown); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func runOnce(ctx context.Context, args []string, out io.Writer) error {
	o := order{Headers: map[string]string{}}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&o.URL, "url", "", "where to send requests (required)")
	flags.StringVar(&o.Method, "method", "", "HTTP method (default GET)")
	flags.Float64Var(&o.RPS, "rps", 0, "requests per second (default 10)")
	flags.DurationVar((*time.Duration)(&o.Duration), "duration", 0, "length of the run (default 10m)")
	flags.DurationVar((*time.Duration)(&o.Timeout), "timeout", 0, "limit of one request (default 5s)")
	flags.IntVar(&o.Concurrency, "concurrency", 0, "most requests in flight (default 1000)")
	flags.BoolVar(&o.NewConnection, "new-connection", false, "use a connection for one request only")
	flags.Func("header", "`name: value`, repeatable", func(text string) error {
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return errors.New("want name: value")
		}
		o.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		return nil
	})
	asJSON := flags.Bool("json", false, "print the report as JSON, with the list of failures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.complete(); err != nil {
		return err
	}
	r := newRun("run", o, newRequester(o).do)
	r.drive(ctx)
	report := r.report()
	if *asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	_, err := fmt.Fprintf(out, "sent %d, ok %d, failed %d; status %v, kinds %v, clusters %v; p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
		report.Sent, report.OK, report.Failed, report.ByStatus, report.ByKind, report.ByCluster, report.P50, report.P99, report.Max)
	return err
}
