package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// download fetches the module archive of r with the go command, unless it is in the module cache already, verifies it
// and returns its path.
func download(r release) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", "istio.io/istio@"+r.module)
	cmd.Dir = os.TempDir() // away from any go.mod
	cmd.Env = append(os.Environ(), "GOWORK=off", "GONOSUMDB="+noSumDB(os.Getenv("GONOSUMDB")))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, runErr := cmd.Output()
	var info struct{ Zip, Error string }
	if err := json.Unmarshal(out, &info); err != nil && runErr == nil {
		return "", fmt.Errorf("read the output of go mod download: %w", err)
	}
	if info.Error != "" {
		return "", fmt.Errorf("download istio.io/istio@%s: %s", r.module, info.Error)
	}
	if runErr != nil {
		return "", fmt.Errorf("download istio.io/istio@%s: %w\n%s", r.module, runErr, stderr.String())
	}
	sum, err := hashZip(info.Zip)
	if err != nil {
		return "", fmt.Errorf("checksum of %s: %w", info.Zip, err)
	}
	if sum != r.sum {
		return "", fmt.Errorf("istio.io/istio@%s has checksum %s, expected %s: the archive was altered, or modules.txt is wrong",
			r.module, sum, r.sum)
	}
	return info.Zip, nil
}

// noSumDB adds the one module that the checksum database does not serve to the user's own patterns.
func noSumDB(patterns string) string {
	if patterns == "" {
		return "istio.io/istio"
	}
	return patterns + ",istio.io/istio"
}

// hashZip computes the "h1:" checksum that go.sum files use for a module archive: the SHA-256 of the sorted list
// of the files' SHA-256 sums and names.
func hashZip(path string) (string, error) {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = archive.Close() }()

	files := slices.Clone(archive.File)
	slices.SortFunc(files, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	total := sha256.New()
	for _, f := range files {
		sum, err := hashFile(f)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
		_, _ = fmt.Fprintf(total, "%s  %s\n", hex.EncodeToString(sum), f.Name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(total.Sum(nil)), nil
}

func hashFile(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
