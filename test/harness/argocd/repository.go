package argocd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// branch is the only branch of a repository.
const branch = "main"

// Repository is a bare Git repository on this machine, with a working tree from which the test pushes.
type Repository struct {
	bare string
	tree string
}

// NewRepository makes an empty repository below a directory.
func NewRepository(ctx context.Context, dir, name string) (*Repository, error) {
	r := &Repository{bare: filepath.Join(dir, name+".git"), tree: filepath.Join(dir, name)}
	if err := os.MkdirAll(r.tree, 0o700); err != nil {
		return nil, fmt.Errorf("make repository %s: %w", name, err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch", branch, r.bare},
		{"init", "--quiet", "--initial-branch", branch},
		{"remote", "add", "origin", r.bare},
	} {
		if _, err := r.git(ctx, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// URL is the address of the repository.
func (r *Repository) URL() string { return "file://" + r.bare }

// Copy copies a directory into the repository's root, or below it, without a commit.
func (r *Repository) Copy(from, to string) error {
	if err := os.CopyFS(filepath.Join(r.tree, to), os.DirFS(from)); err != nil {
		return fmt.Errorf("copy %s into the repository: %w", from, err)
	}
	return nil
}

// Path is where a file of the working tree is.
func (r *Repository) Path(name string) string { return filepath.Join(r.tree, name) }

// Read returns a file of the working tree.
func (r *Repository) Read(name string) (string, error) {
	content, err := os.ReadFile(r.Path(name))
	if err != nil {
		return "", fmt.Errorf("read %s of the repository: %w", name, err)
	}
	return string(content), nil
}

// Write writes a file of the working tree.
func (r *Repository) Write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(r.Path(name)), 0o700); err != nil {
		return fmt.Errorf("write %s of the repository: %w", name, err)
	}
	if err := os.WriteFile(r.Path(name), []byte(content), 0o600); err != nil {
		return fmt.Errorf("write %s of the repository: %w", name, err)
	}
	return nil
}

// Edit changes a file of the working tree. A change that changes nothing is an error.
func (r *Repository) Edit(name string, change func(string) string) error {
	before, err := r.Read(name)
	if err != nil {
		return err
	}
	after := change(before)
	if after == before {
		return fmt.Errorf("the change of %s changes nothing", name)
	}
	return r.Write(name, after)
}

// Commit commits the working tree and pushes it. It returns the commit.
func (r *Repository) Commit(ctx context.Context, message string) (string, error) {
	return r.push(ctx, []string{"add", "--all"}, []string{"commit", "--quiet", "--message", message})
}

// Revert takes the newest commit back by another one, and pushes it. It returns the commit.
func (r *Repository) Revert(ctx context.Context) (string, error) {
	return r.push(ctx, []string{"revert", "--no-edit", "HEAD"})
}

// Tag gives the newest commit a tag, and pushes it.
func (r *Repository) Tag(ctx context.Context, name string) error {
	if _, err := r.git(ctx, "tag", name); err != nil {
		return err
	}
	_, err := r.git(ctx, "push", "--quiet", "origin", name)
	return err
}

func (r *Repository) push(ctx context.Context, commands ...[]string) (string, error) {
	for _, args := range append(commands, []string{"push", "--quiet", "origin", branch}) {
		if _, err := r.git(ctx, args...); err != nil {
			return "", err
		}
	}
	return r.git(ctx, "rev-parse", "HEAD")
}

func (r *Repository) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.tree
	// The settings of whoever runs the test must not matter.
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=suite", "GIT_AUTHOR_EMAIL=suite@example.com", "GIT_COMMITTER_NAME=suite", "GIT_COMMITTER_EMAIL=suite@example.com")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
