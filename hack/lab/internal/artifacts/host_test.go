package artifacts

import (
	"maps"
	"slices"
	"testing"
)

func TestNotInstalled(t *testing.T) {
	tests := map[string]struct {
		list string
		want []string
	}{
		"all are there":               {list: "runc installed\niptables installed\n"},
		"one is unknown to dpkg":      {list: "runc installed\n", want: []string{"iptables"}},
		"one was removed":             {list: "runc config-files\niptables installed\n", want: []string{"runc"}},
		"one with a similar name":     {list: "runc installed\niptables-dev installed\n", want: []string{"iptables"}},
		"a machine without any":       {list: "", want: []string{"runc", "iptables"}},
		"one is only half configured": {list: "runc half-configured\niptables installed\n", want: []string{"runc"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := notInstalled([]string{"runc", "iptables"}, tc.list); !slices.Equal(got, tc.want) {
				t.Errorf("notInstalled() = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestParseLDD(t *testing.T) {
	got, err := parseLDD([]byte(`	linux-vdso.so.1 (0x00007ffd5d5f2000)
	libxtables.so.12 => /lib/x86_64-linux-gnu/libxtables.so.12 (0x00007f8a0c3d0000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f8a0c1ef000)
	/lib64/ld-linux-x86-64.so.2 (0x00007f8a0c41f000)
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"libxtables.so.12":     "/lib/x86_64-linux-gnu/libxtables.so.12",
		"libc.so.6":            "/lib/x86_64-linux-gnu/libc.so.6",
		"ld-linux-x86-64.so.2": "/lib64/ld-linux-x86-64.so.2",
	}
	if !maps.Equal(got, want) {
		t.Errorf("parseLDD() = %v, want %v", got, want)
	}
	if _, err := parseLDD([]byte("\tlibx.so.1 => not found\n")); err == nil {
		t.Error("parseLDD() accepted a library that is not there")
	}
}
