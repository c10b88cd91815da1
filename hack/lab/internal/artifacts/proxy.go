package artifacts

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// bootstrapTemplate is the template of Envoy's bootstrap, in Istio's programs.
const bootstrapTemplate = "envoy_bootstrap_tmpl.json"

// proxyImage is the recipe of proxyv2: the agent, Envoy, and the iptables with
// which the istio-init container redirects a pod's traffic. Those two are
// linked dynamically, so the image also holds the libraries of the host.
func proxyImage(ref string, r istioRelease) recipe {
	istio, envoy := istioPrograms(r.version), envoyBinary(r.envoy)
	return recipe{
		ref: ref, needs: []Name{istio, envoy},
		inputs: func(ctx context.Context, s *session) ([]string, error) {
			files, err := s.runtimeFiles(ctx)
			if err != nil {
				return nil, err
			}
			return describe(files)
		},
		build: func(ctx context.Context, s *session, out string) error {
			files, err := s.runtimeFiles(ctx)
			if err != nil {
				return err
			}
			envoyPath := filepath.Join(s.paths[envoy], "envoy")
			if err := checkLibraries(ctx, envoyPath, files); err != nil {
				return err
			}
			files = slices.Concat(baseFiles(istioUser), files, []writer.File{
				writer.Program("/usr/local/bin/envoy", envoyPath),
				writer.Program("/usr/local/bin/pilot-agent", filepath.Join(s.paths[istio], "pilot-agent")),
				{Path: "/var/lib/istio/envoy/" + bootstrapTemplate, Mode: 0o644, Source: filepath.Join(s.paths[istio], bootstrapTemplate)},
				// Written by the agent where the injector mounts no volume.
				writer.Dir("/etc/istio/proxy", istioUser), writer.Dir("/var/lib/istio/data", istioUser),
				writer.Dir("/var/run/secrets", istioUser), writer.Dir("/run", 0),
			})
			return writeImage(out, ref, istioUser, "/usr/local/bin/pilot-agent", files)
		},
	}
}

// runtimeFiles are the host's files in the proxy image. Their content is an
// input of the image: a host with other packages makes another image.
func (s *session) runtimeFiles(ctx context.Context) ([]writer.File, error) {
	if s.runtime != nil {
		return s.runtime, nil
	}
	if err := s.EnsureHostPackages(ctx); err != nil {
		return nil, err
	}
	files, err := iptablesFiles()
	if err != nil {
		return nil, err
	}
	libs, err := libraries(ctx, files)
	if err != nil {
		return nil, err
	}
	s.runtime = slices.Concat(files, libs)
	return s.runtime, nil
}

// iptablesFiles holds the nft variant under every name that istio-iptables
// looks for. It must not hold the legacy one: istio-iptables prefers that when
// it finds rules in it, and legacy tables are shared with nothing else.
func iptablesFiles() ([]writer.File, error) {
	const multi = "xtables-nft-multi"
	files := []writer.File{writer.Program("/usr/sbin/"+multi, "/usr/sbin/"+multi), writer.Program("/usr/sbin/nft", "/usr/sbin/nft")}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, variant := range []string{"", "-nft"} {
			for _, action := range []string{"", "-save", "-restore"} {
				files = append(files, writer.Symlink("/usr/sbin/"+family+variant+action, multi))
			}
		}
	}
	extensions, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	if err != nil {
		return nil, err
	}
	if len(extensions) == 0 {
		return nil, errors.New("the host's iptables package has no extensions in /usr/lib/*/xtables")
	}
	for _, path := range extensions {
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, err
		}
		files = append(files, writer.File{Path: path, Mode: 0o644, Source: resolved})
	}
	// Names of protocols in rules; a static table on Debian.
	return append(files, writer.File{Path: "/etc/protocols", Mode: 0o644, Source: "/etc/protocols"}), nil
}

// glibcParts are what Envoy needs of the C library beyond what iptables needs.
var glibcParts = []string{"libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"}

// libraries returns what the programs among files are linked against, each
// under the path where the loader looks for it.
func libraries(ctx context.Context, files []writer.File) ([]writer.File, error) {
	found := map[string]string{}
	for _, f := range files {
		if f.Source == "" || f.Path == "/etc/protocols" {
			continue
		}
		known, err := hasAllImports(f.Source, found)
		if err != nil {
			return nil, err
		}
		if known {
			continue // ldd is slow, and there are a hundred extensions
		}
		libs, err := linked(ctx, f.Source)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, libs)
	}
	libc, ok := found["libc.so.6"]
	if !ok {
		return nil, errors.New("the host's iptables is not linked with glibc, which Envoy needs")
	}
	for _, name := range glibcParts {
		found[name] = filepath.Join(filepath.Dir(libc), name)
	}
	var libs []writer.File
	for _, path := range slices.Sorted(maps.Values(found)) {
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, err
		}
		libs = append(libs, writer.Program(path, resolved))
	}
	return libs, nil
}

// hasAllImports tells whether a program or library needs nothing beyond libs.
func hasAllImports(path string, libs map[string]string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("read %q: %w", path, err)
	}
	defer f.Close()
	imports, err := f.ImportedLibraries()
	if err != nil {
		return false, fmt.Errorf("read the imports of %q: %w", path, err)
	}
	for _, name := range imports {
		if _, ok := libs[name]; !ok {
			return false, nil
		}
	}
	return true, nil
}

// linked returns the libraries of a dynamic program, by name.
func linked(ctx context.Context, path string) (map[string]string, error) {
	out, err := exec.CommandContext(ctx, "ldd", path).Output()
	if err != nil {
		return nil, fmt.Errorf("find the libraries of %q: %w", path, err)
	}
	return parseLDD(out)
}

// parseLDD reads lines like "libc.so.6 => /lib/libc.so.6 (0x7f…)", the loader's
// "/lib64/ld-linux-x86-64.so.2 (0x7f…)" and "linux-vdso.so.1 (0x7f…)", which is no file.
func parseLDD(out []byte) (map[string]string, error) {
	libs := map[string]string{}
	scanner := bufio.NewScanner(bytes.NewReader(out))
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		switch {
		case len(fields) >= 3 && fields[1] == "=>" && fields[2] == "not":
			return nil, fmt.Errorf("library %s is not installed", fields[0])
		case len(fields) >= 3 && fields[1] == "=>":
			libs[fields[0]] = fields[2]
		case len(fields) > 0 && strings.HasPrefix(fields[0], "/"):
			libs[filepath.Base(fields[0])] = fields[0]
		}
	}
	return libs, scanner.Err()
}

// checkLibraries fails when a program needs a library that is not among files:
// better here than as a crash loop in every pod.
func checkLibraries(ctx context.Context, path string, files []writer.File) error {
	libs, err := linked(ctx, path)
	if err != nil {
		return err
	}
	var missing []string
	for name, lib := range libs {
		if !slices.ContainsFunc(files, func(f writer.File) bool { return f.Path == lib }) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%s needs libraries that the image does not have: %s", filepath.Base(path), strings.Join(missing, ", "))
	}
	return nil
}

// describe gives one line per file, with the digest of its content.
func describe(files []writer.File) ([]string, error) {
	var lines []string
	for _, f := range files {
		line := fmt.Sprintf("host file %s %o %d %s", f.Path, f.Mode&(fs.ModePerm|fs.ModeType), f.UID, f.Target)
		if f.Source != "" {
			sum, err := hashFile(f.Source)
			if err != nil {
				return nil, err
			}
			line += " " + sum
		}
		lines = append(lines, line)
	}
	return lines, nil
}
