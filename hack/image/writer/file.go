package writer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is one entry of a file system: a directory or a symbolic link, as Mode says, else a regular file.
type File struct {
	// Path is absolute, and separated by slashes.
	Path string
	// Mode holds the type and the permissions. Of the special bits, only the sticky bit is written.
	Mode fs.FileMode
	// UID is the owner, both user and group.
	UID int
	// Source names the file of this machine that is copied. If it is empty, the entry has Content.
	Source  string
	Content []byte
	// Target is what a symbolic link points to.
	Target string
}

// Dir is a directory.
func Dir(path string, uid int) File { return File{Path: path, Mode: fs.ModeDir | 0o755, UID: uid} }

// SharedDir is a directory in which everybody may write, as /tmp.
func SharedDir(path string) File { return File{Path: path, Mode: fs.ModeDir | fs.ModeSticky | 0o777} }

// Program is an executable, copied from this machine.
func Program(path, source string) File { return File{Path: path, Mode: 0o755, Source: source} }

// Symlink is a symbolic link.
func Symlink(path, target string) File {
	return File{Path: path, Mode: fs.ModeSymlink | 0o777, Target: target}
}

// Text is a file that everybody may read.
func Text(path, content string) File { return File{Path: path, Mode: 0o644, Content: []byte(content)} }

// Tree lists what the directory dir contains, as entries below the path root. It sets the same permissions everywhere,
// because those of a checkout depend on the user's umask.
func Tree(dir, root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(source string, entry os.DirEntry, err error) error {
		if err != nil || source == dir {
			return err
		}
		rel, err := filepath.Rel(dir, source)
		if err != nil {
			return err
		}
		target := path.Join(root, filepath.ToSlash(rel))
		switch {
		case entry.IsDir():
			files = append(files, Dir(target, 0))
		case entry.Type().IsRegular():
			files = append(files, File{Path: target, Mode: 0o644, Source: source})
		default:
			return fmt.Errorf("%s is neither a file nor a directory", source)
		}
		return nil
	})
	return files, err
}

// Archive writes files as a tar archive. Directories that are not among the files come before their contents.
func Archive(w io.Writer, files []File) error {
	tw := tar.NewWriter(w)
	entries := withParents(files)
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := writeEntry(tw, name, entries[name]); err != nil {
			return fmt.Errorf("add %s: %w", entries[name].Path, err)
		}
	}
	return tw.Close()
}

// Package returns files as a tar archive that is compressed by gzip.
func Package(files []File) ([]byte, error) { return packed(files, gzip.BestCompression) }

// packed returns files as a tar archive that is compressed at a level of gzip.
func packed(files []File, level int) ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, err
	}
	if err := Archive(zip, files); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// withParents returns the files and their parents by their names in the archive. Of two files with one path, the last wins.
func withParents(files []File) map[string]File {
	entries := map[string]File{}
	for _, f := range files {
		entries[entryName(f)] = f
	}
	for _, f := range files {
		for p := path.Dir(f.Path); p != "/"; p = path.Dir(p) {
			parent := Dir(p, 0)
			if _, ok := entries[entryName(parent)]; !ok {
				entries[entryName(parent)] = parent
			}
		}
	}
	return entries
}

// entryName is relative, and ends in a slash for a directory. So a directory sorts before its contents.
func entryName(f File) string {
	name := strings.TrimPrefix(f.Path, "/")
	if f.Mode.IsDir() {
		name += "/"
	}
	return name
}

func writeEntry(tw *tar.Writer, name string, f File) error {
	h := &tar.Header{
		Name: name, Mode: int64(f.Mode.Perm()), Uid: f.UID, Gid: f.UID, ModTime: time.Unix(0, 0).UTC(), Format: tar.FormatPAX,
	}
	if f.Mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch f.Mode.Type() {
	case fs.ModeDir:
		h.Typeflag = tar.TypeDir
		return tw.WriteHeader(h)
	case fs.ModeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Target
		return tw.WriteHeader(h)
	}
	content := f.Content
	if f.Source != "" {
		var err error
		if content, err = os.ReadFile(f.Source); err != nil {
			return err
		}
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := tw.Write(content)
	return err
}
