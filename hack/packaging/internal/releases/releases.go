// Package releases has the published versions of the operator, and the upgrades between them that a catalog of OLM offers.
package releases

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	"sigs.k8s.io/yaml"
)

// Package is the name of the operator in catalogs.
const Package = "meshfleet"

// The channels of the catalog. Candidate has every version, Stable those without a pre-release suffix.
const (
	Stable    = "stable"
	Candidate = "candidate"
)

// History is the file that records what was published.
type History struct {
	// UpgradableFrom is the oldest version from which a version that is built now can be installed directly.
	UpgradableFrom string `json:"upgradableFrom"`
	// Released are the published versions, oldest first.
	Released []Release `json:"released"`
}

// Release is a published version.
type Release struct {
	// Version is the version without a leading v.
	Version string `json:"version"`
	// SkipRange is the range of versions from which this one can be installed directly. Default: only from the one before it.
	SkipRange string `json:"skipRange,omitempty"`
	// Bundle is the file with the `olm.bundle` of this version, as its catalog had it. Load makes it relative to the working directory; in the
	// file it is relative to the file.
	Bundle string `json:"bundle"`
}

// Load reads the history from a file.
func Load(path string) (*History, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	h := &History{}
	if err := yaml.UnmarshalStrict(content, h); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range h.Released {
		h.Released[i].Bundle = filepath.Join(filepath.Dir(path), h.Released[i].Bundle)
	}
	return h, nil
}

func (h *History) check() error {
	if _, err := semver.Parse(h.UpgradableFrom); err != nil {
		return fmt.Errorf("upgradableFrom %q: %w", h.UpgradableFrom, err)
	}
	var before semver.Version
	for i, r := range h.Released {
		v, err := semver.Parse(r.Version)
		if err != nil {
			return fmt.Errorf("released[%d].version %q: %w", i, r.Version, err)
		}
		if i > 0 && v.LE(before) {
			return fmt.Errorf("released[%d].version %s is not newer than %s: list the versions oldest first", i, v, before)
		}
		if r.SkipRange != "" {
			if _, err := semver.ParseRange(r.SkipRange); err != nil {
				return fmt.Errorf("released[%d].skipRange %q: %w", i, r.SkipRange, err)
			}
		}
		if r.Bundle == "" {
			return fmt.Errorf("released[%d].bundle is empty: name the file with the olm.bundle of %s", i, v)
		}
		before = v
	}
	return nil
}

// ParseVersion reads a version with or without a leading v, as Git tags have it.
func ParseVersion(text string) (semver.Version, error) {
	v, err := semver.Parse(strings.TrimPrefix(text, "v"))
	if err != nil {
		return semver.Version{}, fmt.Errorf("version %q: %w", text, err)
	}
	return v, nil
}

// Name is the name of a version's ClusterServiceVersion.
func Name(v semver.Version) string {
	return Package + ".v" + v.String()
}

// Channels are the channels of a version, sorted by name.
func Channels(v semver.Version) []string {
	if len(v.Pre) > 0 {
		return []string{Candidate}
	}
	return []string{Candidate, Stable}
}

// DefaultChannel is the channel for users that name none: Stable, as soon as it has a version.
func DefaultChannel(versions []semver.Version) string {
	for _, v := range versions {
		if slices.Contains(Channels(v), Stable) {
			return Stable
		}
	}
	return Candidate
}

// Versions are the published versions, oldest first.
func (h *History) Versions() []semver.Version {
	versions := make([]semver.Version, 0, len(h.Released))
	for _, r := range h.Released {
		versions = append(versions, semver.MustParse(r.Version))
	}
	return versions
}

// SkipRange is the range of versions from which a version that is built now can be installed directly. Empty: there is no such version.
func (h *History) SkipRange(v semver.Version) string {
	oldest := semver.MustParse(h.UpgradableFrom)
	if v.LE(oldest) {
		return ""
	}
	return fmt.Sprintf(">=%s <%s", oldest, v)
}

// Before is the newest of some versions that a channel has and that is older than v.
func Before(versions []semver.Version, v semver.Version, channel string) (semver.Version, bool) {
	var newest semver.Version
	found := false
	for _, other := range versions {
		if slices.Contains(Channels(other), channel) && other.LT(v) && (!found || other.GT(newest)) {
			newest, found = other, true
		}
	}
	return newest, found
}
