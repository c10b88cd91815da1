// Package guide runs the commands of a page of the documentation as a reader would, so that page and test cannot differ.
package guide

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// grace is how long the programs of a command that was cancelled may take to end.
const grace = 5 * time.Second

// Commands are the shell commands of a page below a heading, up to the next heading of any level: one string for each block, in their order.
func Commands(page []byte, heading string) ([]string, error) {
	var (
		blocks        []string
		block         []string
		indent        string
		isIn, isShell bool
		isOther       bool
	)
	for line := range strings.Lines(string(page)) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, " ")
		switch {
		case isShell && text == "```":
			blocks, isShell = append(blocks, strings.Join(block, "\n")), false
		case isShell:
			block = append(block, strings.TrimPrefix(line, indent))
		case isOther:
			isOther = text != "```"
		case strings.HasPrefix(text, "```"):
			if isShell = isIn && text == "```sh"; isShell {
				block, indent = nil, line[:len(line)-len(text)]
			} else {
				isOther = true
			}
		case strings.HasPrefix(line, "#"):
			isIn = strings.TrimSpace(strings.TrimLeft(line, "#")) == heading
		}
	}
	if isShell || isOther {
		return nil, errors.New("a block of the page does not end")
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("the page has no commands below the heading %q", heading)
	}
	return blocks, nil
}

// Reader runs commands at a desk: a directory of its own with the repository's config and hack in it, or the files of a release, and one kubeconfig
// for each context.
type Reader struct {
	dir string
	// Log gets each command and its output.
	Log func(format string, args ...any)
}

// kubectl chooses the kubeconfig by --context, as a reader's one kubeconfig with several contexts does.
const kubectl = `#!/usr/bin/env bash
config=hub
args=()
while (($# > 0)); do
  if [[ $1 == --context ]]; then
    config=$2
    shift 2
    continue
  fi
  args+=("$1")
  shift
done
exec %q --kubeconfig %q/"$config.kubeconfig" "${args[@]}"
`

// New makes a reader in an empty directory. Kubectl is the program, repository the root of this repository, and kubeconfigs are files by context.
// The context `hub` is the current one.
func New(dir, program, repository string, kubeconfigs map[string]string, log func(string, ...any)) (*Reader, error) {
	repository, err := filepath.Abs(repository)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"config", "hack"} {
		if err := os.Symlink(filepath.Join(repository, name), filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return newReader(dir, program, kubeconfigs, log)
}

// NewWithRelease makes a reader who has the files of a release, and not the repository.
func NewWithRelease(dir, program, release string, kubeconfigs map[string]string, log func(string, ...any)) (*Reader, error) {
	if err := os.CopyFS(dir, os.DirFS(release)); err != nil {
		return nil, err
	}
	return newReader(dir, program, kubeconfigs, log)
}

func newReader(dir, program string, kubeconfigs map[string]string, log func(string, ...any)) (*Reader, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, Log: log}
	if err := os.MkdirAll(r.bin(), 0o700); err != nil {
		return nil, err
	}
	for context, file := range kubeconfigs {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(r.Kubeconfig(context), content, 0o600); err != nil {
			return nil, err
		}
	}
	if err := r.AddProgram("kubectl", fmt.Sprintf(kubectl, program, r.bin())); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) bin() string { return filepath.Join(r.dir, "bin") }

// Kubeconfig is the file of a context.
func (r *Reader) Kubeconfig(context string) string {
	return filepath.Join(r.bin(), context+".kubeconfig")
}

// AddProgram puts a script onto the path of the commands.
func (r *Reader) AddProgram(name, script string) error {
	return os.WriteFile(filepath.Join(r.bin(), name), []byte(script), 0o700) //nolint:gosec // it is run
}

// Run runs one block of commands, which ends with the first that fails, and returns what it prints.
func (r *Reader) Run(ctx context.Context, block string) (string, error) {
	r.Log("$ %s", strings.ReplaceAll(block, "\n", "\n  "))
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = r.dir, &stdout, &stderr, grace
	cmd.Env = append(os.Environ(), "PATH="+r.bin()+":"+os.Getenv("PATH"))
	err := cmd.Run()
	if text := strings.TrimSpace(stderr.String()); text != "" {
		r.Log("  %s", text)
	}
	if err != nil {
		return "", fmt.Errorf("command of the guide: %q: %w: %s", block, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
