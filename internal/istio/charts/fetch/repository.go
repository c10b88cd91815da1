package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"
)

// maxIndex is the size of the largest index.yaml that is read, in bytes. Istio's has some hundred thousand.
const maxIndex = 8 << 20

// chartRepository is an HTTP server with an index.yaml.
type chartRepository struct {
	server
	transport http.RoundTripper
	url       *url.URL
	src       Source
	// index is read with the first chart.
	index *repo.IndexFile
}

func openRepository(ctx context.Context, src Source) (source, func(), error) {
	u, err := url.Parse(src.Repository)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		// The text of err has the URL, which may have a password.
		return nil, nil, invalid(nil, "the URL of the chart repository is not of the form https://host/path: correct it")
	}
	if u.User != nil {
		return nil, nil, invalid(nil, "the URL of chart repository %s has a user: remove it and name a Secret in spec.charts.pullSecretRef", display(u))
	}
	transport, err := newTransport(src, limitOf(ctx))
	if err != nil {
		return nil, nil, err
	}
	r := &chartRepository{url: u, src: src, transport: transport, server: server{
		name: "chart repository " + display(u), limit: limitOf(ctx), secrets: secretsOf(src), hasCredentials: src.Username != "",
		cure: pullSecretCure,
	}}
	if u.Scheme == "https" {
		r.transport = encrypted{transport}
	}
	return r, transport.CloseIdleConnections, nil
}

func (r *chartRepository) chart(ctx context.Context, name, version string) (Archive, error) {
	if r.index == nil {
		index, err := r.readIndex(ctx)
		if err != nil {
			return Archive{}, err
		}
		r.index = index
	}
	entry, err := r.entry(name, version)
	if err != nil {
		return Archive{}, err
	}
	if len(entry.URLs) == 0 {
		return Archive{}, invalid(nil, "%s has 0 URLs for chart %q %s: index it anew", r.name, name, version)
	}
	target, err := repo.ResolveReferenceURL(r.url.String(), entry.URLs[0])
	if err != nil {
		return Archive{}, invalid(nil, "%s has a bad URL for chart %q %s: index it anew", r.name, name, version)
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return Archive{}, invalid(nil, "%s has a URL for chart %q %s that is not https or http: index it anew", r.name, name, version)
	}
	data, err := r.get(ctx, target, MaxArchive)
	if err != nil {
		return Archive{}, r.chartFailure(err, u, name, version)
	}
	digest := strings.ToLower(strings.TrimPrefix(entry.Digest, "sha256:"))
	if got := digestOf(data); digest != "" && got != "sha256:"+digest {
		return Archive{}, invalid(nil, "%s has other content than the index of %s says: %s, not sha256:%s: index it anew, or restore the chart",
			display(u), r.name, got, clip(digest))
	}
	return archiveOf(data, display(u), name, version)
}

// chartFailure is the failure to get an archive that the index names.
func (r *chartRepository) chartFailure(err error, u *url.URL, name, version string) error {
	from := r.server
	if !strings.EqualFold(u.Host, r.url.Host) || u.Scheme != r.url.Scheme {
		// Another server, which gets no credentials.
		from.name, from.hasCredentials = fmt.Sprintf("server %s://%s", u.Scheme, u.Host), false
		from.hint = "credentials of the repository are not sent to other servers"
		from.cure = "let it give the chart without credentials, or keep the chart on the repository's own server"
	}
	var status *statusError
	var size *sizeError
	switch {
	case errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone):
		return &Error{NotFound, fmt.Sprintf("%s answers with %s, though the index has chart %q %s: put it there, or index it anew",
			display(u), status, name, version), status}
	case errors.As(err, &size) && size.limit == MaxArchive:
		return invalid(size, "%s has more than %d bytes: use Istio's own chart", display(u), MaxArchive)
	}
	return from.failure(err)
}

// readIndex reads the index.yaml. Errors: *Error.
func (r *chartRepository) readIndex(ctx context.Context) (*repo.IndexFile, error) {
	target, err := repo.ResolveReferenceURL(r.url.String(), "index.yaml")
	if err != nil {
		return nil, invalid(nil, "%s has no place for an index.yaml: correct the URL", r.name)
	}
	data, err := r.get(ctx, target, maxIndex)
	if err != nil {
		return nil, r.failure(err)
	}
	var index repo.IndexFile
	if err := yaml.Unmarshal(data, &index); err != nil {
		return nil, invalid(nil, "the index.yaml of %s cannot be read: %s: check the path, or index it anew", r.name, r.clean(err.Error()))
	}
	if index.APIVersion == "" {
		return nil, invalid(nil, "the index.yaml of %s (%d bytes) has no apiVersion: check the path, or index it anew", r.name, len(data))
	}
	return &index, nil
}

// entry finds a chart in the index.
func (r *chartRepository) entry(name, version string) (*repo.ChartVersion, error) {
	var versions []string
	for _, entry := range r.index.Entries[name] {
		if entry == nil || entry.Metadata == nil {
			continue
		}
		if entry.Version == version {
			return entry, nil
		}
		versions = append(versions, entry.Version)
	}
	return nil, notFound(nil, r.name, name, version, versions)
}

// get reads a URL with Helm's client. Credentials go to the repository's server only, whatever redirects and the index say.
func (r *chartRepository) get(ctx context.Context, target string, limit int64) ([]byte, error) {
	// Helm's getter takes nothing but an http.Transport: this one hands all requests on.
	carrier := &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	carrier.RegisterProtocol("https", bound{base: r.transport, ctx: ctx, origin: r.url, limit: limit})
	carrier.RegisterProtocol("http", bound{base: r.transport, ctx: ctx, origin: r.url, limit: limit})
	client, err := getter.NewHTTPGetter(
		getter.WithURL(r.url.String()), getter.WithTransport(carrier), getter.WithUserAgent("meshfleet"),
		getter.WithBasicAuth(r.src.Username, r.src.Password), getter.WithPassCredentialsAll(false),
	)
	if err != nil {
		return nil, err
	}
	data, err := client.Get(target)
	if err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}
