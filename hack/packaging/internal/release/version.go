package release

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Source is what a release is made from.
type Source struct {
	// Commit is the hash of the Git commit.
	Commit string
	// Time is the time of the commit, in UTC.
	Time time.Time
	// Changed are the files that differ from the commit.
	Changed []string
}

// ReadSource asks Git about the working tree of a repository.
func ReadSource(repository string) (Source, error) {
	commit, err := git(repository, "rev-parse", "HEAD")
	if err != nil {
		return Source{}, err
	}
	seconds, err := git(repository, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return Source{}, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return Source{}, fmt.Errorf("time of the commit %s: %w", commit, err)
	}
	status, err := git(repository, "status", "--porcelain")
	if err != nil {
		return Source{}, err
	}
	source := Source{Commit: commit, Time: time.Unix(unix, 0).UTC()}
	for line := range strings.Lines(status) {
		// Two letters for the state, and a space. Git's output was trimmed, so that a space at its beginning may be missing.
		_, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		source.Changed = append(source.Changed, strings.TrimSpace(file))
	}
	return source, nil
}

// CheckClean returns an error if files differ from the commit.
func (s Source) CheckClean() error {
	if len(s.Changed) == 0 {
		return nil
	}
	return fmt.Errorf("%d files differ from the commit %.12s, for example %s: commit them, or accept a release that cannot be built again with ALLOW_DIRTY=1",
		len(s.Changed), s.Commit, s.Changed[0])
}

// Version returns the version of a release: the given one, or that of the tag of the commit if none is given.
func Version(repository, given string) (string, error) {
	if given != "" {
		return given, checkVersion("VERSION="+given, given)
	}
	tag, err := git(repository, "describe", "--tags", "--exact-match", "--match", "v[0-9]*", "HEAD")
	if err != nil {
		return "", fmt.Errorf("the commit has no tag such as v1.2.3: tag it, or give the version, for example `make release VERSION=1.2.3` (%w)", err)
	}
	version := strings.TrimPrefix(tag, "v")
	return version, checkVersion("the tag "+tag, version)
}

// checkVersion refuses what is no semantic version, and what no image can have as its tag.
func checkVersion(subject, version string) error {
	parsed, err := semver.StrictNewVersion(version)
	if err != nil {
		return fmt.Errorf("%s is not a semantic version (%w): write three numbers without a v, such as 1.2.3 or 1.2.3-rc.1", subject, err)
	}
	if parsed.Metadata() != "" {
		return fmt.Errorf("%s has build metadata, which the tag of an image cannot have: leave out +%s", subject, parsed.Metadata())
	}
	return nil
}

// git returns what a Git command prints, without white space around it.
func git(repository string, args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", repository}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
