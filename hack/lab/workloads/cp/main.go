// Command cp copies one file, as `cp -Rv SOURCE TARGET` does for a file. It stands for the cp of a full system in OLM's image, with which OLM
// puts a program into a volume; the image has no shell.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cp:", err)
		os.Exit(1)
	}
}

// run copies the first path to the second, and says so. A target that is a directory gets a file of the same name.
func run(args []string, out io.Writer) error {
	var paths []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			paths = append(paths, arg)
		} else if strings.Trim(arg, "-Rrv") != "" {
			return fmt.Errorf("option %q is not supported: use -R, -r and -v", arg)
		}
	}
	if len(paths) != 2 {
		return fmt.Errorf("want a file and a target, got %d paths", len(paths))
	}
	source, target := paths[0], paths[1]
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		target = filepath.Join(target, filepath.Base(source))
	}
	if err := copyFile(source, target); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "'%s' -> '%s'\n", source, target)
	return err
}

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", source)
	}
	out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
