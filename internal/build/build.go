// Package build tells which build of the operator this is.
package build

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version and commit are those of a release: `make release` sets them by the linker, from the Git tag.
var version, commit string

// Unreleased is the version of a build that is no release.
const Unreleased = "devel"

// Unknown is a commit that the build does not have.
const Unknown = "unknown"

// Info describes a build.
type Info struct {
	// Version is the semantic version without v, or Unreleased.
	Version string
	// Commit is the hash of the Git commit, or Unknown.
	Commit string
	// GoVersion is the release of Go that built it: go1.26.3.
	GoVersion string
}

// Current describes this build.
func Current() Info {
	info, _ := debug.ReadBuildInfo()
	return current(version, commit, info)
}

// current takes what the linker does not have from what Go records: `go install …@v1.2.3` records the version, and a build that may ask Git the commit.
func current(version, commit string, recorded *debug.BuildInfo) Info {
	if recorded != nil {
		if main, isVersion := strings.CutPrefix(recorded.Main.Version, "v"); isVersion {
			version = cmp.Or(version, main)
		}
		for _, s := range recorded.Settings {
			if s.Key == "vcs.revision" {
				commit = cmp.Or(commit, s.Value)
			}
		}
	}
	return Info{Version: cmp.Or(version, Unreleased), Commit: cmp.Or(commit, Unknown), GoVersion: runtime.Version()}
}

// String is what `manager --version` prints.
func (i Info) String() string {
	return fmt.Sprintf("meshfleet %s, commit %s, %s", i.Version, i.Commit, i.GoVersion)
}

// UserAgent is how the operator introduces itself to API servers. They take what is before the slash for the field manager of requests that name none,
// so it must stay.
func (i Info) UserAgent() string {
	return fmt.Sprintf("meshfleet/%s (%s/%s)", i.Version, runtime.GOOS, runtime.GOARCH)
}
