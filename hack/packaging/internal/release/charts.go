package release

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// chartComponents lists Istio's charts as hack/charts has written them: <release>/<chart>, and <release>/SOURCE about their origin.
func chartComponents(dir string) ([]cdx.Component, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "Chart.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no charts: run make charts", dir)
	}
	var all []cdx.Component
	for _, file := range files {
		c, err := chartComponent(filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func chartComponent(dir string) (cdx.Component, error) {
	source := filepath.Join(filepath.Dir(dir), "SOURCE")
	content, err := os.ReadFile(source)
	if err != nil {
		return cdx.Component{}, err
	}
	// The module, its version, and its checksum as in go.sum.
	origin := strings.Fields(string(content))
	if len(origin) < 3 {
		return cdx.Component{}, fmt.Errorf("%s is not <module> <version> <checksum>: %q", source, content)
	}
	sum, err := treeSum(dir)
	if err != nil {
		return cdx.Component{}, err
	}
	c := module(origin[0], origin[1])
	c.Type, c.Group, c.Name, c.Version = cdx.ComponentTypeData, "istio", filepath.Base(dir), filepath.Base(filepath.Dir(dir))
	c.BOMRef = "chart:istio/" + c.Name + "@" + c.Version
	c.Description = "Helm chart of Istio, /charts/" + c.Version + "/" + c.Name + " in the image"
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
	c.Properties = &[]cdx.Property{
		{Name: "meshfleet:go.sum", Value: origin[2]},
		{Name: "meshfleet:hash", Value: hashCommand},
	}
	return c, nil
}

// hashCommand prints the hash of a chart in its directory.
const hashCommand = `find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum | sha256sum`

// treeSum is the checksum of the list of the checksums of all files in a directory.
func treeSum(dir string) (string, error) {
	all, err := sums(dir)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, c := range all {
		_, _ = fmt.Fprintf(hash, "%s  %s\n", c.sum, c.name)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
