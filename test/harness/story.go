package harness

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Stage is one named step of a suite or demo.
type Stage struct {
	Name string
	Run  func() error
}

// Tell is the body of a demo: it makes an Env, tells a story in it, and ends the process, with status 0 only if the
// whole story holds. The lab stays up. What explains a failure is collected under the demo's name.
func Tell(name string, opts Options, story func(context.Context, *Env) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	env, err := New(opts)
	if err == nil {
		if err = story(ctx, env); err != nil {
			env.Dump(ctx, name)
		}
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\n%s failed: %v\n", name, err)
		os.Exit(1)
	}
}

// Stages runs stages in order, up to the first that fails.
func (e *Env) Stages(stages ...Stage) error {
	for _, s := range stages {
		if err := e.Step(s.Name, s.Run); err != nil {
			return err
		}
	}
	return nil
}

// StartUp is the way to an operator that can reach its members: what every suite begins with. Clusters that are somebody
// else's have all of it.
func (e *Env) StartUp(ctx context.Context) []Stage {
	clusters := append([]string{HubName}, e.Members()...)
	up := Stage{fmt.Sprintf("Bring up the clusters %s with the images of Istio %s", and(clusters), and(e.opts.IstioVersions)), func() error {
		return e.EnsureLab(ctx)
	}}
	if e.IsAttached() {
		return []Stage{up}
	}
	return []Stage{
		up,
		{"Install the operator on the hub: kubectl apply -k config/default", func() error { return e.InstallOperator(ctx) }},
		{"Give the operator its credentials for " + and(e.Members()), func() error {
			for _, m := range e.Members() {
				if err := e.JoinMember(ctx, m); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// PrintFarewell says how to look around in the lab: at kinds of objects on the hub, and more.
func (e *Env) PrintFarewell(kinds, more string) {
	e.Printf(farewell, e.Path("bin", "lab"), OperatorNamespace, kinds, more)
}

const farewell = `
The clusters stay up. To look around:

  export PATH="$(bin/labctl env):$PATH" KUBECONFIG=%s/hub.kubeconfig
  kubectl -n %s get %s
%s
Remove everything with: make demo-down
`

// and joins words as people do.
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
