//go:build linux

// Package sysctl changes kernel settings of the host and puts them back.
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// changedByKubelet are settings that every kubelet sets on the whole machine, whatever namespaces it runs in.
var changedByKubelet = []string{"vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops"}

// minimums are needed by the lab itself: all nodes and pods together share the host's inotify limits, and the usual
// default of 128 instances is used up by the second cluster.
var minimums = map[string]int{
	"fs.inotify.max_user_instances": 8192,
	"fs.inotify.max_user_watches":   524288,
}

// Current returns the values of every setting that a running lab changes.
func Current() (map[string]string, error) {
	values := map[string]string{}
	names := append([]string{}, changedByKubelet...)
	for name := range minimums {
		names = append(names, name)
	}
	for _, name := range names {
		value, err := get(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

// RaiseMinimums lifts the limits that are too low for the lab and leaves higher ones alone.
func RaiseMinimums() error {
	for name, minimum := range minimums {
		value, err := get(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if current, err := strconv.Atoi(value); err == nil && current < minimum {
			if err := set(name, strconv.Itoa(minimum)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Restore writes recorded values back.
func Restore(values map[string]string) error {
	var errs []error
	for name, value := range values {
		errs = append(errs, set(name, value))
	}
	return errors.Join(errs...)
}

func get(name string) (string, error) {
	raw, err := os.ReadFile(path(name))
	if err != nil {
		return "", fmt.Errorf("read kernel setting %s: %w", name, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func set(name, value string) error {
	if err := os.WriteFile(path(name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("write kernel setting %s: %w", name, err)
	}
	return nil
}

func path(name string) string {
	return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
}
