//go:build linux

// Package cgroup creates and removes the control groups of a cluster, on version 1 with its many hierarchies and on
// version 2 with its single one.
//
// Every kubelet gets a root of its own: a kubelet removes pod groups that it does not know.
package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mountInfo lists the mounts of the calling process.
const mountInfo = "/proc/self/mountinfo"

type hierarchy struct {
	path string
	// unified tells version 2, which may stand beside version 1 without controllers.
	unified bool
}

// Name is the group of a cluster, relative to the root of each hierarchy.
func Name(cluster string) string { return "lab-" + cluster }

// Create makes the group in every hierarchy. The kubelet refuses to start without it.
func Create(name string) error {
	hierarchies, err := list()
	if err != nil {
		return err
	}
	if len(hierarchies) == 0 {
		return errors.New("no control groups are mounted")
	}
	for _, h := range hierarchies {
		if err := h.create(name); err != nil {
			return fmt.Errorf("create control group in %s: %w", h.path, err)
		}
	}
	return nil
}

func (h hierarchy) create(name string) error {
	if h.unified {
		if err := delegate(h.path); err != nil {
			return err
		}
	}
	dir := filepath.Join(h.path, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if h.unified {
		// This holds the root's controllers in place. When units come and go, systemd takes away from the root those that no
		// unit needs any longer, which the kernel refuses while a group below passes them on. The kubelet does so too, but it
		// starts seconds later, and never without them.
		if err := delegate(dir); err != nil {
			return err
		}
		return prefer(dir)
	}
	if err := inheritCPUs(h.path, dir); err != nil {
		return err
	}
	return prefer(dir)
}

// preference is how many times the weight of one process the pods of a cluster have together. By default it is one: then each process of
// each control plane has as much as all pods of a cluster, and when the machine is busy the pods starve, which a cluster with machines of its own
// never sees. Under a full upgrade on two busy cores, requests took 8 s and failed at 1, and 5 to 9 ms at 20.
const preference = 20

// prefer gives the pods of a cluster their weight. A hierarchy without the controller for processors has none.
func prefer(dir string) error {
	for file, value := range map[string]int{"cpu.shares": 1024 * preference, "cpu.weight": 100 * preference} {
		// Files of control groups cannot be created.
		f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|os.O_TRUNC, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(f, value)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("set %s: %w", file, err)
		}
	}
	return nil
}

// required are the controllers without which the kubelet does not start.
var required = []string{"cpu", "cpuset", "memory", "pids"}

// delegate makes the controllers of a group available below it. Below the root, systemd enables only some by itself.
func delegate(dir string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		control := filepath.Join(dir, "cgroup.subtree_control")
		err := os.WriteFile(control, []byte("+"+controller), 0o644)
		if err != nil && slices.Contains(required, controller) {
			return fmt.Errorf("enable controller %s: %w", controller, err)
		}
	}
	return nil
}

// inheritCPUs fills the two files without which a new group of the version 1 cpuset controller takes no process.
func inheritCPUs(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(own)) > 0 {
			continue
		}
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Remove deletes the group with everything below it, in every hierarchy. The processes in it must have been killed;
// until the kernel has buried them it answers "busy", so removal is tried until the context ends.
func Remove(ctx context.Context, name string) error {
	hierarchies, err := list()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		dir := filepath.Join(h.path, name)
		for {
			err := removeTree(dir)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("remove control group: %w", err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// Leftovers returns the names of all groups that look like those of a cluster.
func Leftovers() ([]string, error) {
	hierarchies, err := list()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range hierarchies {
		matches, err := filepath.Glob(filepath.Join(h.path, Name("*")))
		if err != nil {
			return nil, err
		}
		for _, match := range matches {
			names = append(names, filepath.Base(match))
		}
	}
	return names, nil
}

// removeTree removes directories depth-first. The files of a group cannot be unlinked; they vanish with it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if entry.IsDir() {
			errs = append(errs, removeTree(filepath.Join(dir, entry.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// list returns the mounted hierarchies. Names of controllers under /sys/fs/cgroup are not enough: some are links.
func list() ([]hierarchy, error) {
	raw, err := os.ReadFile(mountInfo)
	if err != nil {
		return nil, fmt.Errorf("list control groups: %w", err)
	}
	return parse(string(raw)), nil
}

func parse(mounts string) []hierarchy {
	var found []hierarchy
	for line := range strings.Lines(mounts) {
		// The optional fields before the dash vary in number.
		place, source, ok := strings.Cut(line, " - ")
		fields, sourceFields := strings.Fields(place), strings.Fields(source)
		const mountPoint = 4
		if !ok || len(fields) <= mountPoint || len(sourceFields) == 0 {
			continue
		}
		path := fields[mountPoint]
		if !strings.HasPrefix(path, "/sys/fs/cgroup") {
			continue
		}
		switch sourceFields[0] {
		case "cgroup":
			found = append(found, hierarchy{path: path})
		case "cgroup2":
			found = append(found, hierarchy{path: path, unified: true})
		}
	}
	return found
}
