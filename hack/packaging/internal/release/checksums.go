package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the files about the others. The provenance tells who built, so that the checksums are those of anybody who builds the same release.
const (
	checksumsFile  = "checksums.txt"
	provenanceFile = "provenance.intoto.json"
)

// checksum is the SHA-256 of a file, in hexadecimal digits.
type checksum struct{ name, sum string }

// checksums adds a file that `sha256sum --check` reads.
func checksums(r *Release) error {
	all, err := sums(r.Output)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, c := range all {
		fmt.Fprintf(&out, "%s  %s\n", c.sum, c.name)
	}
	return r.Add(checksumsFile, out.Bytes(), 0o644)
}

// sums returns the checksums of all files below a directory, sorted by their names.
func sums(dir string) ([]checksum, error) {
	var all []checksum
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sum, err := sumOf(path)
		if err != nil {
			return err
		}
		all = append(all, checksum{name: filepath.ToSlash(name), sum: sum})
		return nil
	})
	slices.SortFunc(all, func(a, b checksum) int { return strings.Compare(a.name, b.name) })
	return all, err
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
