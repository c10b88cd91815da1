package fetch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	helmregistry "helm.sh/helm/v3/pkg/registry"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

const (
	// maxManifest is the size of the largest manifest that is read, in bytes. A chart's has about one thousand.
	maxManifest = 1 << 20
	// maxTags is how many tags of a repository are looked at for the nearest version.
	maxTags = 10_000
)

// ociRegistry is a registry with one repository for each chart. It uses the client below Helm's own, oras: Helm's takes no context,
// reads the user's ~/.docker/config.json, and tells the size of a layer after it has read it only.
type ociRegistry struct {
	server
	client *auth.Client
	// path is host and path, without a scheme.
	path string
	key  *signatureKey
}

func openRegistry(ctx context.Context, src Source) (source, func(), error) {
	path, isOCI := strings.CutPrefix(src.OCI, helmregistry.OCIScheme+"://")
	path = strings.TrimSuffix(path, "/")
	// A name that is certainly valid shows whether the path is. The text of the error has the path, which may have a password.
	ref, err := registry.ParseReference(path + "/base")
	if !isOCI || err != nil || ref.Reference != "" || strings.ContainsAny(path, "@?#") {
		return nil, nil, invalid(nil, "the charts' registry is not of the form oci://host/path, without user, tag and query: correct it")
	}
	login, hint, err := loginOf(src, ref.Registry, strings.TrimSuffix(ref.Repository, "/base"))
	if err != nil {
		return nil, nil, err
	}
	var key *signatureKey
	if len(src.Key) > 0 {
		if key, err = readKey(src.Key); err != nil {
			return nil, nil, err
		}
	}
	transport, err := newTransport(src, limitOf(ctx))
	if err != nil {
		return nil, nil, err
	}
	client := &auth.Client{
		Client:     &http.Client{Transport: encrypted{transport}},
		Credential: auth.StaticCredential(ref.Host(), login),
		Cache:      auth.NewCache(),
	}
	client.SetUserAgent("meshfleet")
	secrets := secretsOf(src)
	if login.Password != "" {
		secrets = append(secrets, login.Password, pair(login.Username, login.Password))
	}
	r := &ociRegistry{client: client, path: path, key: key, server: server{
		name: "registry " + ref.Registry, limit: limitOf(ctx), secrets: secrets, hint: hint,
		cure: pullSecretCure, hasCredentials: login != auth.EmptyCredential,
	}}
	return r, transport.CloseIdleConnections, nil
}

func (r *ociRegistry) chart(ctx context.Context, name, version string) (Archive, error) {
	repository, err := remote.NewRepository(r.path + "/" + name)
	if err != nil {
		return Archive{}, invalid(nil, "oci://%s/%s is not the path of a repository: correct the registry's path", r.path, name)
	}
	repository.Client = r.client
	// Helm's way to write a version as a tag, which can have no plus sign.
	tag := strings.ReplaceAll(version, "+", "_")
	place := fmt.Sprintf("oci://%s/%s:%s", r.path, name, tag)

	// The manifest is read once. Its digest is what the signature is for, and its layer is what is taken.
	manifest, digest, err := r.manifest(ctx, repository, tag)
	if errors.Is(err, errdef.ErrNotFound) {
		return Archive{}, r.notFound(ctx, repository, name, version)
	}
	if err != nil {
		return Archive{}, r.failure(err)
	}
	layer, err := layerOf(manifest, place)
	if err != nil {
		return Archive{}, err
	}
	if r.key != nil {
		if err := r.verify(ctx, repository, place, digest); err != nil {
			return Archive{}, err
		}
	}
	data, err := r.blob(ctx, repository, layer)
	if err != nil {
		return Archive{}, r.failure(err)
	}
	return archiveOf(data, place, name, version)
}

// manifest reads the manifest of a tag, whose digest it returns: that of the bytes that were read.
func (r *ociRegistry) manifest(ctx context.Context, repository *remote.Repository, tag string) (ocispec.Manifest, string, error) {
	descriptor, body, err := repository.Manifests().FetchReference(ctx, tag)
	if err != nil {
		return ocispec.Manifest{}, "", err
	}
	data, err := readVerified(body, descriptor, maxManifest)
	if err != nil {
		return ocispec.Manifest{}, "", r.unlessBad(err, repository, tag)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return ocispec.Manifest{}, "", invalid(nil, "the manifest of oci://%s:%s is no JSON: push it anew", repository.Reference, tag)
	}
	return manifest, digestOf(data), nil
}

// layerOf finds the layer with the archive.
func layerOf(manifest ocispec.Manifest, place string) (ocispec.Descriptor, error) {
	var layers []ocispec.Descriptor
	for _, layer := range manifest.Layers {
		if layer.MediaType == helmregistry.ChartLayerMediaType || layer.MediaType == helmregistry.LegacyChartLayerMediaType {
			layers = append(layers, layer)
		}
	}
	if manifest.Config.MediaType != helmregistry.ConfigMediaType || len(layers) != 1 {
		return ocispec.Descriptor{}, invalid(nil, "%s is not a chart: its manifest has config %q and %d layers with a chart: "+
			"push it with helm push", place, clip(manifest.Config.MediaType), len(layers))
	}
	if layers[0].Size > MaxArchive {
		return ocispec.Descriptor{}, invalid(nil, "%s has %d bytes, more than %d: use Istio's own chart", place, layers[0].Size, MaxArchive)
	}
	return layers[0], nil
}

func (r *ociRegistry) blob(ctx context.Context, repository *remote.Repository, descriptor ocispec.Descriptor) ([]byte, error) {
	if err := descriptor.Digest.Validate(); err != nil || descriptor.Size < 0 {
		return nil, invalid(nil, "oci://%s has a layer with a bad digest or size (%q, %d bytes): push it anew",
			repository.Reference, clip(descriptor.Digest.String()), descriptor.Size)
	}
	body, err := repository.Blobs().Fetch(ctx, descriptor)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, invalid(nil, "oci://%s has a manifest but not its content %s: push it anew", repository.Reference, descriptor.Digest)
	}
	if err != nil {
		return nil, err
	}
	data, err := readVerified(body, descriptor, MaxArchive)
	return data, r.unlessBad(err, repository, descriptor.Digest.String())
}

// readVerified reads what a descriptor is of, and closes body. The content has the descriptor's size and digest.
func readVerified(body io.ReadCloser, descriptor ocispec.Descriptor, limit int64) ([]byte, error) {
	var data []byte
	err := error(&sizeError{limit: limit})
	if descriptor.Size <= limit {
		data, err = content.ReadAll(body, descriptor)
	}
	return data, errors.Join(err, body.Close())
}

// unlessBad turns content that is not what the registry said into an *Error and leaves other errors. what is the tag or the digest.
func (r *ociRegistry) unlessBad(err error, repository *remote.Repository, what string) error {
	for _, bad := range []error{content.ErrMismatchedDigest, content.ErrTrailingData, content.ErrInvalidDescriptorSize} {
		if errors.Is(err, bad) {
			return invalid(bad, "oci://%s has other content for %s than its digest or size says (%s): push it anew",
				repository.Reference, what, bad)
		}
	}
	return err
}

var errEnoughTags = errors.New("enough tags")

// notFound says which versions there are.
func (r *ociRegistry) notFound(ctx context.Context, repository *remote.Repository, name, version string) error {
	var versions []string
	err := repository.Tags(ctx, "", func(tags []string) error {
		for _, tag := range tags {
			versions = append(versions, strings.ReplaceAll(strings.Clone(tag[:min(len(tag), maxVersion+1)]), "_", "+"))
		}
		if len(versions) >= maxTags {
			return errEnoughTags
		}
		return nil
	})
	var answer *errcode.ErrorResponse
	isMissing := errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
	if err != nil && !isMissing && !errors.Is(err, errEnoughTags) {
		// The version is missing for certain, even when the others cannot be listed: some accounts may read and not list.
		failure := r.failure(err)
		return &Error{NotFound, fmt.Sprintf("oci://%s has no chart %q in version %s, and the versions that it has cannot be listed (%s): "+
			"put it there", r.path, name, version, r.clean(cmp.Or(errors.Unwrap(failure), failure).Error())), errdef.ErrNotFound}
	}
	return notFound(errdef.ErrNotFound, "oci://"+r.path, name, version, versions)
}
