package argocd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// Namespace is where Argo CD and its Applications are.
	Namespace = "argocd"
	// Controller is the user name of Argo CD's application controller at an API server of the hub.
	Controller = "system:serviceaccount:" + Namespace + ":" + applicationController
	// Server is the user name of Argo CD's API server, which runs actions.
	Server = "system:serviceaccount:" + Namespace + ":" + server

	applicationController    = "argocd-application-controller"
	applicationSetController = "argocd-applicationset-controller"
	repoServer               = "argocd-repo-server"
	server                   = "argocd-server"

	// resync is how often Argo CD compares, and reads Git. Its default is 2 minutes with a jitter of 1 minute.
	resync = 20 * time.Second
	// lifetime bounds all processes and their tokens.
	lifetime = 3 * time.Hour
	// startDeadline is far above what the processes take to listen.
	startDeadline = 2 * time.Minute
)

// redisProgram has the server, too: the name under which it is started decides.
const redisProgram = "/usr/bin/redis-check-rdb"

// ArgoCD is an Argo CD that runs.
type ArgoCD struct {
	env       *harness.Env
	dir       string
	programs  string
	ports     map[string]string
	cancel    context.CancelFunc
	processes []*process
}

// Start installs Argo CD on the hub and starts its processes. What they write is in a directory that exists.
func Start(ctx context.Context, env *harness.Env, dir string) (*ArgoCD, error) {
	a := &ArgoCD{env: env, dir: dir, programs: env.Path("bin", "lab", "argo-cd"), ports: map[string]string{}}
	if err := a.install(ctx); err != nil {
		return nil, err
	}
	running, cancel := context.WithTimeout(context.WithoutCancel(ctx), lifetime)
	a.cancel = cancel
	commands, err := a.commands(ctx)
	if err != nil {
		return nil, errors.Join(err, a.Stop())
	}
	for _, c := range commands {
		p, err := start(running, dir, c)
		if err != nil {
			return nil, errors.Join(err, a.Stop())
		}
		a.processes = append(a.processes, p)
		// Those that follow connect to it.
		if err := a.awaitPort(ctx, p); err != nil {
			return nil, errors.Join(err, a.Stop())
		}
	}
	return a, nil
}

// Stop ends all processes, the last first, and returns when they have ended.
func (a *ArgoCD) Stop() error {
	a.cancel()
	var errs []error
	for i := len(a.processes) - 1; i >= 0; i-- {
		select {
		case <-a.processes[i].done:
		case <-time.After(2 * stopPatience):
			errs = append(errs, fmt.Errorf("%s has not ended %s after it was killed", a.processes[i].name, stopPatience))
		}
	}
	a.processes = nil
	return errors.Join(errs...)
}

// RequireRunning wants all processes to run.
func (a *ArgoCD) RequireRunning() error {
	var errs []error
	for _, p := range a.processes {
		errs = append(errs, p.ended())
	}
	return errors.Join(errs...)
}

// Kubectl runs kubectl as the administrator of the hub.
func (a *ArgoCD) Kubectl(ctx context.Context, args ...string) error {
	_, err := a.env.Kubectl(ctx, harness.HubName, args...)
	return err
}

// awaitPort waits until a process listens.
func (a *ArgoCD) awaitPort(ctx context.Context, p *process) error {
	return harness.Await(ctx, p.name+" to listen", startDeadline, func(context.Context) (bool, string, error) {
		if err := p.ended(); err != nil {
			return false, "", harness.Fatal(err)
		}
		return isListening(a.ports[p.name]), "nothing listens on port " + a.ports[p.name], nil
	})
}

// commands are the processes, in the order in which they are started.
func (a *ArgoCD) commands(ctx context.Context) ([]command, error) {
	for _, name := range []string{"redis", repoServer, applicationController, applicationSetController, server, "repo-metrics", "set-probe", "set-webhook", "server-metrics"} {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		a.ports[name] = port
	}
	redis, repo := "127.0.0.1:"+a.ports["redis"], "127.0.0.1:"+a.ports[repoServer]
	commands := []command{
		{name: "redis", path: redisProgram, as: "redis-server", args: []string{
			"--bind", "127.0.0.1", "--port", a.ports["redis"], "--save", "", "--appendonly", "no", "--dir", a.dir}},
		{name: repoServer, args: []string{
			"--address", "127.0.0.1", "--port", a.ports[repoServer], "--metrics-address", "127.0.0.1", "--metrics-port", a.ports["repo-metrics"],
			"--disable-tls", "--redis", redis, "--revision-cache-expiration", "5s"}},
		{name: applicationController, args: []string{
			"--metrics-port", a.ports[applicationController], "--repo-server", repo, "--repo-server-plaintext", "--redis", redis,
			"--app-resync", seconds(resync), "--app-resync-jitter", "0"}},
		{name: applicationSetController, args: []string{
			"--metrics-addr", "127.0.0.1:" + a.ports[applicationSetController], "--probe-addr", "127.0.0.1:" + a.ports["set-probe"],
			"--webhook-addr", "127.0.0.1:" + a.ports["set-webhook"], "--argocd-repo-server", repo, "--repo-server-plaintext"}},
		{name: server, args: []string{
			"--address", "127.0.0.1", "--port", a.ports[server], "--metrics-address", "127.0.0.1", "--metrics-port", a.ports["server-metrics"],
			"--insecure", "--disable-auth", "--repo-server", repo, "--repo-server-plaintext", "--redis", redis}},
	}
	empty := filepath.Join(a.dir, "empty")
	if err := os.MkdirAll(empty, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for Argo CD: %w", err)
	}
	for i := range commands {
		c := &commands[i]
		if c.path != "" {
			continue
		}
		kubeconfig, err := a.kubeconfig(ctx, c.name)
		if err != nil {
			return nil, err
		}
		c.path = filepath.Join(a.programs, c.name)
		c.env = []string{
			// Cluster https://kubernetes.default.svc is the one of the kubeconfig.
			"ARGOCD_FAKE_IN_CLUSTER=true", "KUBECONFIG=" + kubeconfig,
			"ARGOCD_TLS_DATA_PATH=" + empty, "ARGOCD_SSH_DATA_PATH=" + empty, "ARGOCD_PLUGINSOCKFILEPATH=" + empty, "ARGOCD_GPG_ENABLED=false",
			"ARGOCD_APPLICATIONSET_CONTROLLER_REQUEUE_AFTER=" + resync.String(),
			"HOME=" + a.dir, "TMPDIR=" + a.dir, "PATH=" + a.programs + ":" + os.Getenv("PATH"),
		}
	}
	return commands, nil
}
