// Command echo is a server that says who it is and who called it. It also
// misbehaves on request, which is how the tests make one cluster fail.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drain is how long the server still accepts requests after SIGTERM. Until the
// removal of its address has reached every proxy, peers keep calling it:
// without this delay each restart loses requests.
const drain = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := serve(ctx, ":8080", newServer(identityFromEnv(os.Getenv)), drain)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// serve runs until ctx ends, then becomes unready, keeps serving for the drain
// delay, and at last lets the requests in flight finish.
func serve(ctx context.Context, addr string, s *server, drain time.Duration) error {
	srv := &http.Server{Addr: addr, Handler: s, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	log.Printf("Serving on %s as %s/%s in cluster %q", addr, s.id.Namespace, s.id.Pod, s.id.Cluster)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	select {
	case err := <-failed:
		return err
	case <-time.After(drain):
	}
	shutdown, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(shutdown); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
