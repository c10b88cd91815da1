package fetch

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
)

// archives are a user's packaged charts by name and version.
type archives struct {
	count int
	found map[string]map[string]keyed
}

type keyed struct {
	key  string
	data []byte
}

// openArchives reads the Chart.yaml of every archive.
func openArchives(values map[string][]byte) (archives, error) {
	all := archives{found: map[string]map[string]keyed{}}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		data := values[key]
		if !bytes.HasPrefix(data, []byte("\x1f\x8b\x08")) {
			continue
		}
		c, err := read(data)
		if err != nil {
			return archives{}, invalid(nil, "key %q of the Secret or ConfigMap with the charts is not a usable chart: %s: replace or remove it",
				key, clip(err.Error()))
		}
		name, version := c.Metadata.Name, c.Metadata.Version
		if all.found[name] == nil {
			all.found[name] = map[string]keyed{}
		}
		if other, isThere := all.found[name][version]; isThere && !bytes.Equal(other.data, data) {
			return archives{}, invalid(nil, "keys %q and %q of the Secret or ConfigMap with the charts are different archives of chart %q %q: remove one",
				other.key, key, clip(name), clip(version))
		}
		all.found[name][version] = keyed{key: key, data: data}
		all.count++
	}
	return all, nil
}

func (a archives) chart(_ context.Context, name, version string) (Archive, error) {
	versions := a.found[name]
	if it, isThere := versions[version]; isThere {
		return Archive{Name: name, Version: version, Digest: digestOf(it.data), Data: it.data}, nil
	}
	place := fmt.Sprintf("the Secret or ConfigMap with %d charts", a.count)
	return Archive{}, notFound(nil, place, name, version, slices.Collect(maps.Keys(versions)))
}
