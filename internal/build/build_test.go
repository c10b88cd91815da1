package build

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCurrent(t *testing.T) {
	recorded := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "fedc"}
	for name, c := range map[string]struct {
		version, commit string
		recorded        *debug.BuildInfo
		want            Info
	}{
		"a release":                {"1.2.3", "abcd", recorded("(devel)"), Info{Version: "1.2.3", Commit: "abcd"}},
		"a release that Go knows":  {"1.2.3", "abcd", recorded("v1.2.4", revision), Info{Version: "1.2.3", Commit: "abcd"}},
		"go install":               {"", "", recorded("v1.2.3"), Info{Version: "1.2.3", Commit: Unknown}},
		"go build with Git":        {"", "", recorded("(devel)", revision), Info{Version: Unreleased, Commit: "fedc"}},
		"go build without Git":     {"", "", recorded("(devel)"), Info{Version: Unreleased, Commit: Unknown}},
		"a binary without records": {"", "", nil, Info{Version: Unreleased, Commit: Unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.GoVersion = runtime.Version()
			if diff := cmp.Diff(c.want, current(c.version, c.commit, c.recorded)); diff != "" {
				t.Errorf("build (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	info := Info{Version: "1.2.3", Commit: "abcd", GoVersion: "go1.26.3"}
	if got, want := info.String(), "meshfleet 1.2.3, commit abcd, go1.26.3"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if got, want := info.UserAgent(), "meshfleet/1.2.3 ("+runtime.GOOS+"/"+runtime.GOARCH+")"; got != want {
		t.Errorf("user agent %q, want %q", got, want)
	}
}
