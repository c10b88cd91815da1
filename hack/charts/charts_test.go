package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"
)

const chartYAML = "apiVersion: v2\nname: istiod\nversion: 1.0.0\nappVersion: 1.0.0\n"

const valuesYAML = `_internal_defaults_do_not_set:
  hub: ""
  tag: ""
  global:
    hub: gcr.io/istio-testing
    tag: latest

    other: latest
`

const stampedYAML = `_internal_defaults_do_not_set:
  hub: ""
  tag: ""
  global:
    hub: docker.io/istio
    tag: 1.29.1

    other: latest
`

func TestStamp(t *testing.T) {
	tests := map[string]struct {
		base, in, want string
	}{
		"chart metadata carries the release":      {base: "Chart.yaml", in: chartYAML, want: "apiVersion: v2\nname: istiod\nversion: 1.29.1\nappVersion: 1.29.1\n"},
		"default images carry the release":        {base: "values.yaml", in: valuesYAML, want: stampedYAML},
		"the newer registry is replaced too":      {base: "values.yaml", in: "    hub: registry.istio.io/testing\n    tag: 1.31-dev\n", want: "    hub: docker.io/istio\n    tag: 1.29.1\n"},
		"a registry that is not a default stays":  {base: "values.yaml", in: "    hub: example.org/istio\n", want: "    hub: example.org/istio\n"},
		"templates are copied byte for byte":      {base: "deployment.yaml", in: "version: 1.0.0\ntag: latest\n", want: "version: 1.0.0\ntag: latest\n"},
		"nested versions in metadata are kept":    {base: "Chart.yaml", in: "dependencies:\n- name: x\n  version: 1.0.0\n", want: "dependencies:\n- name: x\n  version: 1.0.0\n"},
		"appVersion in quotes is replaced as all": {base: "Chart.yaml", in: "appVersion: \"1.0.0\"\n", want: "appVersion: 1.29.1\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(stamp(tt.base, []byte(tt.in), "1.29.1")); got != tt.want {
				t.Errorf("stamp(%s) = %q, want %q", tt.base, got, tt.want)
			}
		})
	}
}

func TestTargetOf(t *testing.T) {
	tests := map[string]struct {
		want   string
		wantOK bool
	}{
		"manifests/charts/base/files/crd-all.gen.yaml":               {want: "base/files/crd-all.gen.yaml", wantOK: true},
		"manifests/charts/istio-control/istio-discovery/values.yaml": {want: "istiod/values.yaml", wantOK: true},
		"manifests/charts/gateway/Chart.yaml":                        {want: "gateway/Chart.yaml", wantOK: true},
		"manifests/charts/gateways/istio-ingress/Chart.yaml":         {},
		"manifests/charts/ztunnel/Chart.yaml":                        {},
		"LICENSE":                                                    {want: "LICENSE", wantOK: true},
		"go.mod":                                                     {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := targetOf(name)
			if got != tt.want || ok != tt.wantOK {
				t.Errorf("targetOf(%q) = %q, %v, want %q, %v", name, got, ok, tt.want, tt.wantOK)
			}
		})
	}
}

func TestParseReleases(t *testing.T) {
	releases, err := parseReleases(modulesTable)
	if err != nil || len(releases) == 0 {
		t.Fatalf("modules.txt: %d releases, error %v", len(releases), err)
	}
	for name, table := range map[string]string{
		"checksum missing":  "1.29.1 v0.0.0-1\n",
		"checksum not h1":   "1.29.1 v0.0.0-1 sha256:aa\n",
		"too many of words": "1.29.1 v0.0.0-1 h1:aa more\n",
	} {
		if _, err := parseReleases(table); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []release{{version: "1.28.3"}, {version: "1.29.1"}}
	if got, err := choose(all, ""); err != nil || len(got) != 2 {
		t.Errorf("choose(all, \"\") = %v, %v", got, err)
	}
	if got, err := choose(all, "1.29.1"); err != nil || len(got) != 1 || got[0].version != "1.29.1" {
		t.Errorf("choose(all, 1.29.1) = %v, %v", got, err)
	}
	if _, err := choose(all, "9.9.9"); err == nil {
		t.Error("an unknown release was accepted")
	}
}

func TestWriteRelease(t *testing.T) {
	r := release{version: "1.29.1", module: "v0.0.0-1", sum: "h1:x"}
	files := map[string]string{
		"LICENSE":                             "licence",
		"manifests/charts/base/Chart.yaml":    chartYAML,
		"manifests/charts/gateway/Chart.yaml": chartYAML,
		"manifests/charts/istio-control/istio-discovery/Chart.yaml":  chartYAML,
		"manifests/charts/istio-control/istio-discovery/values.yaml": valuesYAML,
		"pilot/main.go": "package main",
	}
	archive := writeZip(t, "istio.io/istio@v0.0.0-1/", files)
	dir := filepath.Join(t.TempDir(), "charts", r.version)
	if isCurrent(dir, r) {
		t.Error("current before it was made")
	}
	if err := writeRelease(archive, r, dir); err != nil {
		t.Fatal(err)
	}
	if !isCurrent(dir, r) {
		t.Error("not current after it was made")
	}
	if isCurrent(dir, release{version: r.version, module: r.module, sum: "h1:other"}) {
		t.Error("current although the checksum changed")
	}
	got, err := os.ReadFile(filepath.Join(dir, "istiod", "values.yaml"))
	if err != nil || string(got) != stampedYAML {
		t.Errorf("istiod/values.yaml = %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pilot")); !os.IsNotExist(err) {
		t.Errorf("sources were copied: %v", err)
	}

	delete(files, "manifests/charts/gateway/Chart.yaml")
	if err := writeRelease(writeZip(t, "istio.io/istio@v0.0.0-1/", files), r, dir); err == nil {
		t.Error("a module without the gateway chart was accepted")
	}
	if !isCurrent(dir, r) {
		t.Error("a failed run destroyed what was there")
	}
}

func TestHashZip(t *testing.T) {
	a := writeZip(t, "m@v1/", map[string]string{"a": "1", "b": "2"})
	b := writeZip(t, "m@v1/", map[string]string{"a": "1", "b": "3"})
	sumA, err := hashZip(a)
	if err != nil {
		t.Fatal(err)
	}
	// printf of "<sha256>  <name>\n" per file, piped through sha256sum and base64.
	if want := "h1:QufLy/48+BThzdO2gXBh/HFG76rHkQJ64wvt14glg5A="; sumA != want {
		t.Errorf("hashZip = %s, want %s", sumA, want)
	}
	if sumB, err := hashZip(b); err != nil || sumB == sumA {
		t.Errorf("altered content has checksum %s, %v", sumB, err)
	}
}

func writeZip(t *testing.T, prefix string, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for name, content := range files {
		entry, err := w.Create(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
