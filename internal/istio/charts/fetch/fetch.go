// Package fetch gets Istio's Helm charts from where users keep them: an OCI registry, a chart repository, or the archives in a
// Secret or ConfigMap. Everything happens in memory: no cache, no temporary file, no file of the user's home directory.
//
// A server is not trusted. The time, the bytes read and the size of what is unpacked are bounded, credentials stay with the host that
// they are for, and an error's message has neither secrets nor the body of an answer.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

const (
	// MaxArchive is the size of the largest chart that is accepted, in bytes: what fits into a ConfigMap.
	MaxArchive = 1_000_000
	// Timeout is how long Charts takes at most when its context has no deadline.
	Timeout = 60 * time.Second
)

// Source is where charts are. Exactly one of OCI, Repository and Archives is set.
type Source struct {
	// OCI is the path of a registry with one repository for each chart below it: oci://registry.example.com/istio/charts. The registry
	// must speak HTTPS.
	OCI string
	// Repository is the URL of a chart repository, which has an index.yaml: https or http. From an https repository nothing is read over
	// http.
	Repository string
	// Archives are packaged charts that a user has put into a Secret or ConfigMap, by key. Values that are not gzip archives, and charts
	// of other names or versions, are ignored. Nil: not set.
	Archives map[string][]byte

	// Username and Password log in. Both or none are set.
	Username, Password string
	// DockerConfig is the content of a Secret of type kubernetes.io/dockerconfigjson, an alternative to Username and Password. Only
	// for OCI.
	DockerConfig []byte
	// CA are certificates, PEM, that are trusted besides those of the system.
	CA []byte
	// Proxy is the URL of an HTTP proxy. Empty: as the environment says.
	Proxy string
	// Key is the public key (PEM) of cosign, with which the charts must be signed. Empty: no signature is asked for. Only for OCI.
	Key []byte
}

// Archive is a packaged chart.
type Archive struct {
	// Name and Version are those of its Chart.yaml.
	Name, Version string
	// Digest is `sha256:` and the SHA-256 of Data in hex. In a registry it is the digest of the layer.
	Digest string
	// Data is the archive, a tar file compressed with gzip: at most MaxArchive bytes.
	Data []byte
}

// chartName is what may stand in a URL as the name of a chart.
var chartName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// source gets one chart.
type source interface {
	chart(ctx context.Context, name, version string) (Archive, error)
}

// Charts gets the charts of one version, in the order of names. It takes at most as long as ctx says, or Timeout when ctx has no
// deadline. Errors: *Error.
func Charts(ctx context.Context, src Source, version string, names ...string) ([]Archive, error) {
	if _, isBounded := ctx.Deadline(); !isBounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, Timeout)
		defer cancel()
	}
	if _, err := semver.StrictNewVersion(version); err != nil {
		return nil, invalid(nil, "version %q of the charts is not a semantic version: use one like 1.31.1", clip(version))
	}
	for _, name := range names {
		if !chartName.MatchString(name) {
			return nil, invalid(nil, "%q is not the name of a chart: use lower-case letters, digits and dashes", clip(name))
		}
	}
	from, done, err := open(ctx, src)
	if err != nil {
		return nil, err
	}
	defer done()
	archives := make([]Archive, 0, len(names))
	for _, name := range names {
		archive, err := from.chart(ctx, name, version)
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// open checks the source and prepares its client. done closes the client's connections.
func open(ctx context.Context, src Source) (from source, done func(), err error) {
	if err := src.validate(); err != nil {
		return nil, nil, err
	}
	switch {
	case src.OCI != "":
		return openRegistry(ctx, src)
	case src.Repository != "":
		return openRepository(ctx, src)
	default:
		from, err = openArchives(src.Archives)
		return from, func() {}, err
	}
}

// validate refuses what no server need be asked for. Above all it never lets a signature that is asked for go unchecked.
func (s Source) validate() error {
	count := 0
	for _, isSet := range []bool{s.OCI != "", s.Repository != "", s.Archives != nil} {
		if isSet {
			count++
		}
	}
	switch {
	case count != 1:
		return invalid(nil, "the charts have %d sources: set exactly one of a registry, a chart repository and archives", count)
	case len(s.Key) > 0 && s.OCI == "":
		return invalid(nil, "signatures of charts can be checked in a registry only: use a registry, or remove spec.charts.verify")
	case len(s.DockerConfig) > 0 && s.OCI == "":
		return invalid(nil, "a Secret of type kubernetes.io/dockerconfigjson is for registries only: "+
			"name one with username and password in spec.charts.pullSecretRef")
	case s.Password != "" && !strings.HasPrefix(strings.ToLower(s.Repository), "https://") && s.OCI == "":
		return invalid(nil, "the password of spec.charts.pullSecretRef is sent over https only: use a repository with https")
	case (s.Username == "") != (s.Password == ""):
		return invalid(nil, "the Secret of spec.charts.pullSecretRef has only one of username and password: set both")
	}
	return nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
