//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		mounts string
		want   []hierarchy
	}{
		"version 1 with the unified hierarchy beside it": {
			mounts: "25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n" +
				"26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n" +
				"27 25 0:24 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,name=systemd\n" +
				"28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			want: []hierarchy{
				{path: "/sys/fs/cgroup/cpu,cpuacct"},
				{path: "/sys/fs/cgroup/systemd"},
				{path: "/sys/fs/cgroup/unified", unified: true},
			},
		},
		"version 2, mounted a second time elsewhere": {
			mounts: "25 20 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n" +
				"40 20 0:22 / /mnt/other rw - cgroup2 cgroup2 rw\n",
			want: []hierarchy{{path: "/sys/fs/cgroup", unified: true}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := parse(tt.mounts); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parse = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The kernel makes the files of a group; here they are ordinary ones, which keep the last write.
func TestCreatePassesControllersOnTwice(t *testing.T) {
	tests := map[string]struct{ controllers, want string }{
		"version 2": {controllers: "cpuset\n", want: "+cpuset"},
		"beside version 1, where there may be none": {controllers: "\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			groups := []string{root, filepath.Join(root, "lab-east")}
			for _, group := range groups {
				if err := os.MkdirAll(group, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(group, "cgroup.controllers"), []byte(tt.controllers), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := (hierarchy{path: root, unified: true}).create("lab-east"); err != nil {
				t.Fatal(err)
			}
			for _, group := range groups {
				got, err := os.ReadFile(filepath.Join(group, "cgroup.subtree_control"))
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				if string(got) != tt.want {
					t.Errorf("%s passes on %q, want %q", group, got, tt.want)
				}
			}
		})
	}
}

func TestRemoveTreeGoesDepthFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab-east")
	if err := os.MkdirAll(filepath.Join(dir, "kubepods", "burstable", "pod"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeTree(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("directory still exists: %v", err)
	}
}

// TestPrefer wants the weight in the file that the version has, and no file that it has not.
func TestPrefer(t *testing.T) {
	for file, want := range map[string]string{"cpu.shares": "20480", "cpu.weight": "2000"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), []byte("1024000\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := prefer(dir); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v; want %s", file, got, err, want)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("files are %v, %v; want %s only", files, err, file)
		}
	}
	if err := prefer(t.TempDir()); err != nil {
		t.Errorf("a hierarchy without processors: %v", err)
	}
}
