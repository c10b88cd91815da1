package testutil

import (
	"os"
	"path/filepath"
)

// InRepository is a path in the repository, whatever package the test is of.
func InRepository(path ...string) string {
	dir, err := os.Getwd()
	if err != nil {
		panic("a test has no working directory: " + err.Error())
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "PROJECT")); err == nil {
			return filepath.Join(append([]string{dir}, path...)...)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			panic("no directory above the test has the file PROJECT")
		}
		dir = parent
	}
}
