package fetch

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// read unpacks a chart. Helm bounds what an archive may unpack to (loader.MaxDecompressedChartSize). It would unpack archives within
// the archive as well, each with a bound of its own: Istio's charts have none, so they are refused.
func read(data []byte) (*chart.Chart, error) {
	if len(data) > MaxArchive {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), MaxArchive)
	}
	files, err := loader.LoadArchiveFiles(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasPrefix(file.Name, "charts/") && path.Ext(file.Name) == ".tgz" {
			return nil, fmt.Errorf("it has a packed chart, %s", file.Name)
		}
	}
	return loader.LoadFiles(files)
}

// archiveOf checks that data is the chart that was asked for. place says where data is from.
func archiveOf(data []byte, place, name, version string) (Archive, error) {
	c, err := read(data)
	if err != nil {
		return Archive{}, invalid(nil, "%s is not a usable chart: %s: replace it with Istio's chart of that version", place, clip(err.Error()))
	}
	if c.Metadata.Name != name || c.Metadata.Version != version {
		return Archive{}, invalid(nil, "%s is chart %q in version %q, not %q in version %q: replace it with the right one",
			place, clip(c.Metadata.Name), clip(c.Metadata.Version), name, version)
	}
	return Archive{Name: name, Version: version, Digest: digestOf(data), Data: data}, nil
}
