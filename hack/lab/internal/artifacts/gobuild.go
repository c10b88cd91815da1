package artifacts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goPrograms are binaries built from one Go module.
type goPrograms struct {
	dir      string   // of the module, relative to the lab directory
	sources  []string // folders below dir whose files go into the key
	programs []goProgram
	links    []string // further names of the first program
	// onHost programs run on the host and not in a node or an image. They are built as Go builds by default, so that
	// they share Go's build cache with the tests of the same modules.
	onHost bool
	// module and files name files that are copied from a dependency's source
	// because the programs read them at run time.
	module string
	files  map[string]string // name in the artifact: path in the module
}

// goProgram is one package main. A package of another module is built by its
// import path; the tool directive in go.mod keeps its dependencies listed.
type goProgram struct {
	name    string
	pkg     string
	tags    string
	ldflags string
}

func (g goPrograms) recipe() recipe {
	return recipe{inputs: g.inputs, build: g.build}
}

func (g goPrograms) inputs(ctx context.Context, s *session) ([]string, error) {
	version, err := s.goEnv(ctx)
	if err != nil {
		return nil, err
	}
	lines := []string{"go " + version, "links " + strings.Join(g.links, " ")}
	for _, p := range g.programs {
		lines = append(lines, "program "+strings.Join(p.args(g.onHost), " "))
	}
	for name, path := range g.files {
		lines = append(lines, "copied "+name+" "+g.module+" "+path)
	}
	slices.Sort(lines)
	for _, dir := range g.sources {
		files, err := sourceLines(filepath.Join(s.Root, g.dir, dir))
		if err != nil {
			return nil, err
		}
		lines = append(lines, files...)
	}
	return lines, nil
}

// sourceLines describes what the Go tool reads of one folder.
func sourceLines(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, e := range entries {
		name := e.Name()
		isSource := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if !isSource && name != "go.mod" && name != "go.sum" {
			continue
		}
		sum, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		lines = append(lines, "file "+name+" "+sum)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("no Go files in %q", dir)
	}
	return lines, nil
}

func (p goProgram) args(onHost bool) []string {
	args := []string{"build", "-mod=readonly", "-buildvcs=false"}
	if !onHost {
		args = append(args, "-trimpath")
	}
	// No debug information: it doubles what is written and imported.
	return append(args, "-tags="+p.tags, "-ldflags="+strings.TrimSpace("-s -w "+p.ldflags), "-o", p.name, p.pkg)
}

func (g goPrograms) build(ctx context.Context, s *session, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, p := range g.programs {
		args := p.args(g.onHost)
		args[len(args)-2] = filepath.Join(out, p.name)
		if _, err := s.goToolWith(ctx, g.dir, g.environment(), args...); err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
	}
	for _, link := range g.links {
		if err := os.Symlink(g.programs[0].name, filepath.Join(out, link)); err != nil {
			return err
		}
	}
	if g.module == "" {
		return nil
	}
	src, err := s.moduleDir(ctx, g.dir, g.module)
	if err != nil {
		return err
	}
	for name, path := range g.files {
		if err := copyFile(filepath.Join(out, name), filepath.Join(src, path), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// moduleDir returns the source of a dependency of the module in dir, and
// downloads it when it is not in the module cache.
func (b *Builder) moduleDir(ctx context.Context, dir, module string) (string, error) {
	out, err := b.goTool(ctx, dir, "mod", "download", "-json", module)
	if err != nil {
		return "", fmt.Errorf("download module %s: %w", module, err)
	}
	var info struct{ Dir string }
	if err := json.Unmarshal(out, &info); err != nil {
		return "", fmt.Errorf("download module %s: %w", module, err)
	}
	return info.Dir, nil
}

// goEnv returns what of the Go tool decides the result, besides flags.
func (s *session) goEnv(ctx context.Context) (string, error) {
	if s.goVersion == "" {
		out, err := s.goTool(ctx, ".", "env", "GOVERSION", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT")
		if err != nil {
			return "", err
		}
		s.goVersion = strings.Join(strings.Fields(string(out)), " ")
	}
	return s.goVersion, nil
}

// noCgo is for programs in images, which have no C library.
var noCgo = []string{"CGO_ENABLED=0"}

// environment is what the Go tool needs besides the usual.
func (g goPrograms) environment() []string {
	if g.onHost {
		return nil
	}
	return noCgo
}

// goTool runs the Go tool in a folder below the lab directory. The tool is
// installed wherever this runs: the lab is started through it.
func (b *Builder) goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return b.goToolWith(ctx, dir, noCgo, args...)
}

// goToolWith is goTool with other variables of the environment.
func (b *Builder) goToolWith(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	return run(ctx, filepath.Join(b.Root, dir), append([]string{"GOOS=linux", "GOWORK=off", "GOFLAGS="}, env...), "go", args...)
}

// run executes a command and returns its standard output. The error holds the
// end of what it said: that is where tools name the cause.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	said := strings.TrimSpace(stderr.String() + "\n" + stdout.String())
	return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, lastLines(said, 12))
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
