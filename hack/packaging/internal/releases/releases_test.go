package releases

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blang/semver/v4"
	"github.com/google/go-cmp/cmp"
)

func TestLoad(t *testing.T) {
	cases := map[string]struct {
		content   string
		wantError string
	}{
		"nothing was published": {"upgradableFrom: 0.1.0\nreleased: []\n", ""},
		"two versions":          {"upgradableFrom: 0.1.0\nreleased:\n- {version: 0.1.0, bundle: a.yaml}\n- {version: 0.2.0, bundle: b.yaml, skipRange: '>=0.1.0 <0.2.0'}\n", ""},
		"the newest first":      {"upgradableFrom: 0.1.0\nreleased:\n- {version: 0.2.0, bundle: b.yaml}\n- {version: 0.1.0, bundle: a.yaml}\n", "oldest first"},
		"a version twice":       {"upgradableFrom: 0.1.0\nreleased:\n- {version: 0.1.0, bundle: b.yaml}\n- {version: 0.1.0, bundle: a.yaml}\n", "not newer"},
		"no version":            {"upgradableFrom: 0.1.0\nreleased:\n- {version: latest, bundle: a.yaml}\n", "released[0].version"},
		"no bundle":             {"upgradableFrom: 0.1.0\nreleased:\n- {version: 0.1.0}\n", "released[0].bundle"},
		"no range":              {"upgradableFrom: 0.1.0\nreleased:\n- {version: 0.1.0, bundle: a.yaml, skipRange: all}\n", "released[0].skipRange"},
		"an unknown field":      {"upgradableFrom: 0.1.0\nchannels: []\n", "channels"},
		"no oldest version":     {"released: []\n", "upgradableFrom"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "releases.yaml")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := Load(path)
			switch {
			case c.wantError == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case c.wantError != "" && (err == nil || !strings.Contains(err.Error(), c.wantError)):
				t.Errorf("error is %v, want %q in it", err, c.wantError)
			case err == nil && len(h.Released) > 0 && filepath.Dir(h.Released[0].Bundle) != filepath.Dir(path):
				t.Errorf("the bundle %s is not beside %s", h.Released[0].Bundle, path)
			}
		})
	}
}

func TestHistoryOfTheRepository(t *testing.T) {
	h, err := Load(filepath.Join("..", "..", "releases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range h.Released {
		if _, err := os.Stat(r.Bundle); err != nil {
			t.Errorf("version %s: %v", r.Version, err)
		}
	}
}

func TestSkipRangeEndsBeforeTheVersion(t *testing.T) {
	h := &History{UpgradableFrom: "0.2.0"}
	got := map[string]string{}
	for _, v := range []string{"0.1.0", "0.2.0", "0.2.1", "0.3.0-rc.1"} {
		got[v] = h.SkipRange(semver.MustParse(v))
	}
	want := map[string]string{"0.1.0": "", "0.2.0": "", "0.2.1": ">=0.2.0 <0.2.1", "0.3.0-rc.1": ">=0.2.0 <0.3.0-rc.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
}

func TestBeforeStaysInTheChannel(t *testing.T) {
	versions := parse("0.1.0", "0.2.0-rc.1", "0.2.0", "0.3.0-rc.1")
	cases := []struct{ version, channel, want string }{
		{"0.1.0", Stable, ""},
		{"0.2.0-rc.1", Candidate, "0.1.0"},
		{"0.2.0", Candidate, "0.2.0-rc.1"},
		{"0.2.0", Stable, "0.1.0"},
		{"0.3.0", Stable, "0.2.0"},
		{"0.3.0", Candidate, "0.3.0-rc.1"},
	}
	for _, c := range cases {
		got, found := Before(versions, semver.MustParse(c.version), c.channel)
		if found != (c.want != "") || found && got.String() != c.want {
			t.Errorf("before %s in %s is %s (%t), want %q", c.version, c.channel, got, found, c.want)
		}
	}
}

func TestDefaultChannelIsStableWhenItHasAVersion(t *testing.T) {
	if got := DefaultChannel(parse("0.1.0-rc.1")); got != Candidate {
		t.Errorf("with a release candidate only it is %s", got)
	}
	if got := DefaultChannel(parse("0.1.0-rc.1", "0.1.0")); got != Stable {
		t.Errorf("with a release it is %s", got)
	}
}

func TestParseVersion(t *testing.T) {
	for _, text := range []string{"v1.2.3", "1.2.3"} {
		if v, err := ParseVersion(text); err != nil || v.String() != "1.2.3" {
			t.Errorf("%s is %s, error %v", text, v, err)
		}
	}
	if _, err := ParseVersion("main"); err == nil || !strings.Contains(err.Error(), "main") {
		t.Errorf("error is %v, want the text in it", err)
	}
}

func parse(texts ...string) []semver.Version {
	versions := make([]semver.Version, 0, len(texts))
	for _, text := range texts {
		versions = append(versions, semver.MustParse(text))
	}
	return versions
}
