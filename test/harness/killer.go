package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// killPace is how often the audit logs are read: the operator is killed that soon after a write.
const killPace = 20 * time.Millisecond

// Killer kills the operator after the first write of every kind and name that it makes, as the audit logs of all clusters
// tell. A write in one member stands for the same in another.
type Killer struct {
	env        *Env
	identities map[string]string
	offsets    map[string]int64
	seen       map[string]bool
	kills      []string
	errs       []error
}

// NewKiller makes a killer for what is written from now on.
func (e *Env) NewKiller(ctx context.Context) (*Killer, error) {
	k := &Killer{env: e, identities: map[string]string{}, offsets: map[string]int64{}, seen: map[string]bool{}}
	for _, cluster := range e.Clusters() {
		identity, err := e.Identity(ctx, cluster)
		if err != nil {
			return nil, err
		}
		k.identities[cluster] = identity
	}
	if err := k.skip(); err != nil {
		return nil, err
	}
	return k, nil
}

// skip passes over what is in the logs by now.
func (k *Killer) skip() error {
	var errs []error
	for cluster := range k.identities {
		info, err := os.Stat(k.env.auditLog(cluster))
		if err != nil {
			errs = append(errs, fmt.Errorf("look at the audit log of cluster %q: %w", cluster, err))
			continue
		}
		k.offsets[cluster] = info.Size()
	}
	return errors.Join(errs...)
}

// Follow kills until the context ends.
func (k *Killer) Follow(ctx context.Context) {
	tick := time.NewTicker(killPace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for cluster := range k.identities {
			write, err := k.next(cluster)
			if err != nil {
				k.errs = append(k.errs, err)
				return
			}
			if write == "" {
				continue
			}
			// What has been written since has not been seen: its turn comes when it is written again.
			err = errors.Join(k.env.KillOperator(ctx), k.env.awaitOperator(ctx), k.skip())
			if ctx.Err() != nil {
				return
			}
			k.kills = append(k.kills, write)
			if err != nil {
				k.errs = append(k.errs, err)
				return
			}
		}
	}
}

// next is the first write in a log that is of a new kind, or empty.
func (k *Killer) next(cluster string) (string, error) {
	f, err := os.Open(k.env.auditLog(cluster))
	if err != nil {
		return "", fmt.Errorf("read the audit log of cluster %q: %w", cluster, err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(k.offsets[cluster], io.SeekStart); err != nil {
		return "", fmt.Errorf("read the audit log of cluster %q: %w", cluster, err)
	}
	reader := bufio.NewReader(f)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			// The API server is in the middle of a line, or has not written another one.
			return "", nil
		}
		k.offsets[cluster] += int64(len(line))
		var event AuditEvent
		if err := json.Unmarshal(line, &event); err != nil || !event.isDoneBy(k.identities[cluster]) {
			continue
		}
		where := "a member"
		if cluster == HubName {
			where = "the hub"
		}
		ref := event.ObjectRef
		kind := fmt.Sprintf("%s of %s %s %s in %s", event.Verb, ref.Resource, ref.Subresource, ref.Name, where)
		if !k.seen[kind] {
			k.seen[kind] = true
			return kind, nil
		}
	}
}

// Report says after which writes the operator was killed. Call it when Follow has returned.
func (k *Killer) Report() ([]string, error) { return k.kills, errors.Join(k.errs...) }
