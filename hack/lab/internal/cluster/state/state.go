//go:build linux

// Package state is what the lab remembers on disk between two commands.
//
// One directory per cluster holds its record and all files of its node. The root is the same for every user and working
// directory, because the resources it describes (addresses, links, cgroups) belong to the whole machine. It is not below
// /run, /var/lib or /var/log: each node replaces those with its own.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/proc"
)

// DefaultRoot is where labctl keeps its state.
const DefaultRoot = "/var/tmp/meshfleet-lab"

const (
	recordFile = "cluster.json"
	hostFile   = "host.json"
	lockFile   = "lock"
)

// Record describes one cluster.
type Record struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	// Process is the first process of the node. Nothing of the cluster can outlive it.
	Process proc.Identity `json:"process"`
	// Ready is set when the cluster came up completely. One that did not is started afresh by the next up.
	Ready bool `json:"ready"`
	// Images are the references that were loaded, with their archives. An archive's path changes with its content, so an
	// image that was built anew under the same reference is loaded again.
	Images      map[string]string `json:"images,omitempty"`
	CertManager bool              `json:"certManager,omitempty"`
	OLM         bool              `json:"olm,omitempty"`
	Prometheus  bool              `json:"prometheus,omitempty"`
	// Out is the directory with the files handed to the user, which go away with the cluster. MoreOut are directories that
	// later commands named, from another working tree for example.
	Out     string   `json:"out"`
	MoreOut []string `json:"moreOut,omitempty"`
}

// Outs returns all directories with files for the user.
func (r Record) Outs() []string { return append([]string{r.Out}, r.MoreOut...) }

// AddOut adds a directory with files for the user.
func (r *Record) AddOut(dir string) {
	if !slices.Contains(r.Outs(), dir) {
		r.MoreOut = append(r.MoreOut, dir)
	}
}

// Host is what the lab changed on the machine, with the values to put back.
type Host struct {
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// Store is the root of the state.
type Store struct{ root string }

// Open creates the root when needed. It refuses a directory that somebody else owns: /var/tmp is writable by everyone.
func Open(root string) (*Store, error) {
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	info, err := os.Lstat(root)
	if err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !known || int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("state directory %s is not a directory of user %d", root, os.Geteuid())
	}
	return &Store{root: root}, nil
}

// Root returns the path of the state.
func (s *Store) Root() string { return s.root }

// Dir returns the directory of a cluster, whether it exists or not.
func (s *Store) Dir(cluster string) Dir { return Dir(filepath.Join(s.root, cluster)) }

// Lock waits until no other command changes the lab. The kernel drops the lock with the process.
func (s *Store) Lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(s.root, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("lock the lab: %w", err)
		}
		if !told {
			waiting()
			told = true
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("lock the lab: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Clusters returns the names of all clusters that have a directory, sorted, with or without a readable record.
func (s *Store) Clusters() ([]string, error) {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && addr.CheckName(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Load returns the record of a cluster; an error matching fs.ErrNotExist when there is none.
func (s *Store) Load(cluster string) (Record, error) {
	var record Record
	err := readJSON(filepath.Join(string(s.Dir(cluster)), recordFile), &record)
	return record, err
}

// Save replaces the record of a cluster.
func (s *Store) Save(record Record) error {
	return writeJSON(filepath.Join(string(s.Dir(record.Name)), recordFile), record)
}

// LoadHost returns the zero value when nothing was changed on the host.
func (s *Store) LoadHost() (Host, error) {
	var host Host
	err := readJSON(filepath.Join(s.root, hostFile), &host)
	if errors.Is(err, fs.ErrNotExist) {
		return Host{}, nil
	}
	return host, err
}

// SaveHost records the changes made on the host. It must be called before making them.
func (s *Store) SaveHost(host Host) error {
	return writeJSON(filepath.Join(s.root, hostFile), host)
}

// RemoveHost forgets the changes after they were undone.
func (s *Store) RemoveHost() error {
	if err := os.Remove(filepath.Join(s.root, hostFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove host record: %w", err)
	}
	return nil
}

func readJSON(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read state %s: %w", path, err)
	}
	return nil
}

// writeJSON renames a complete file into place, so that a killed command leaves the old or the new record, never half.
func writeJSON(path string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, raw, 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}
