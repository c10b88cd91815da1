package harness

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// run executes a command in the repository's root and shows its output as progress.
func (e *Env) run(ctx context.Context, prefix, name string, args ...string) error {
	w, done := e.logLines(prefix)
	var tail tailBuffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = e.Root
	cmd.Stdout = &teeWriter{a: w, b: &tail}
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	_ = w.Close()
	<-done
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, tail.String())
	}
	return nil
}

// output executes a command in the repository's root and returns what it prints. The error holds standard error
// only, because standard output may be a credential.
func (e *Env) output(ctx context.Context, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = e.Root
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// labctl runs the lab's command with progress.
func (e *Env) labctl(ctx context.Context, args ...string) error {
	return e.run(ctx, "", e.Path("bin", "labctl"), args...)
}

// Kubectl runs the lab's own kubectl against a cluster and returns what it prints.
func (e *Env) Kubectl(ctx context.Context, cluster string, args ...string) (string, error) {
	path, err := e.KubectlPath(ctx)
	if err != nil {
		return "", err
	}
	return e.output(ctx, path, append([]string{"--kubeconfig", e.Cluster(cluster).Kubeconfig}, args...)...)
}

// KubectlLogged is Kubectl with the output shown as progress.
func (e *Env) KubectlLogged(ctx context.Context, cluster string, args ...string) error {
	path, err := e.KubectlPath(ctx)
	if err != nil {
		return err
	}
	return e.run(ctx, "", path, append([]string{"--kubeconfig", e.Cluster(cluster).Kubeconfig}, args...)...)
}

// KubectlPath finds the kubectl that the lab has built.
func (e *Env) KubectlPath(ctx context.Context) (string, error) {
	e.mu.Lock()
	path := e.kubectl
	e.mu.Unlock()
	if path != "" {
		return path, nil
	}
	dir, err := e.output(ctx, e.Path("bin", "labctl"), "env")
	if err != nil {
		return "", fmt.Errorf("find the lab's kubectl: %w", err)
	}
	path = filepath.Join(strings.TrimSpace(dir), "kubectl")
	e.mu.Lock()
	e.kubectl = path
	e.mu.Unlock()
	return path, nil
}

// teeWriter writes to both.
type teeWriter struct {
	a interface{ Write([]byte) (int, error) }
	b *tailBuffer
}

func (t *teeWriter) Write(p []byte) (int, error) {
	t.b.add(p)
	return t.a.Write(p)
}

// tailBuffer keeps the end of what was written: the part of a long output that explains a failure.
type tailBuffer struct{ buf []byte }

const tailBytes = 2000

func (t *tailBuffer) add(p []byte) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = t.buf[over:]
	}
}

func (t *tailBuffer) String() string { return strings.TrimSpace(string(t.buf)) }

// kubectlQuiet runs kubectl and shows nothing unless it fails.
func (e *Env) kubectlQuiet(ctx context.Context, cluster string, args ...string) error {
	_, err := e.Kubectl(ctx, cluster, args...)
	return err
}
