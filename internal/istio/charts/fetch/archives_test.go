package fetch_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

// bomb is an archive of a file of zeros.
func bomb(t *testing.T, name string, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, file := range []struct {
		name string
		data []byte
	}{{"base/Chart.yaml", []byte("apiVersion: v2\nname: base\nversion: 1.31.1\n")}, {name, make([]byte, size)}} {
		if err := archive.WriteHeader(&tar.Header{Name: file.name, Size: int64(len(file.data)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(file.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestArchives(t *testing.T) {
	base := packed(t, "base", "1.31.1", 0)
	for name, tc := range map[string]struct {
		archives map[string][]byte
		reason   fetch.Reason
		want     []string
	}{
		"found": {archives: map[string][]byte{"x": base}},
		"missing version": {
			map[string][]byte{"a": packed(t, "base", "1.31.0", 0), "b": packed(t, "base", "1.30.0", 0)},
			fetch.NotFound, []string{"2 charts", "1.31.0, 1.30.0"},
		},
		"missing chart": {map[string][]byte{"a": packed(t, "istiod", "1.31.1", 0)}, fetch.NotFound, []string{`no chart "base"`}},
		"empty":         {map[string][]byte{}, fetch.NotFound, []string{"0 charts"}},
		"two of the same": {
			map[string][]byte{"first": base, "second": packed(t, "base", "1.31.1", 10)},
			fetch.Invalid, []string{`"first" and "second"`},
		},
		"broken":                  {map[string][]byte{"cut": base[:len(base)/2]}, fetch.Invalid, []string{`"cut"`}},
		"file that is too large":  {map[string][]byte{"bomb": bomb(t, "base/zeros", 6<<20)}, fetch.Invalid, []string{`"bomb"`, "5242880"}},
		"chart within the chart":  {map[string][]byte{"nested": bomb(t, "base/charts/x.tgz", 10)}, fetch.Invalid, []string{"charts/x.tgz"}},
		"path out of the archive": {map[string][]byte{"path": bomb(t, "base/../../x", 10)}, fetch.Invalid, []string{`"path"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fetch.Charts(t.Context(), fetch.Source{Archives: tc.archives}, "1.31.1", "base")
			if tc.reason != "" {
				wantError(t, err, tc.reason, tc.want...)
				return
			}
			if err != nil || got[0].Digest != digestOf(base) {
				t.Errorf("got %v, error %v", got, err)
			}
		})
	}
}
