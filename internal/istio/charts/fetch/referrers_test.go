package fetch_test

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

const (
	bundleType       = "application/vnd.dev.sigstore.bundle.v0.3+json"
	signatureOfImage = "https://sigstore.dev/cosign/sign/v1"
)

// refer puts a manifest with one layer into a registry, which refers to another manifest.
func refer(t *testing.T, s *httptest.Server, name, subject, artifactType, layerType string, data []byte, annotations map[string]string) {
	t.Helper()
	r := repository(t, s, name)
	target, err := r.Resolve(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	layer := content.NewDescriptorFromBytes(layerType, data)
	if err := r.Push(t.Context(), layer, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	layer.Annotations = annotations
	if _, err := oras.PackManifest(t.Context(), r, oras.PackManifestVersion1_1, artifactType, oras.PackManifestOptions{
		Subject: &target, Layers: []ocispec.Descriptor{layer},
	}); err != nil {
		t.Fatal(err)
	}
}

// bundle is a signature for a manifest as cosign 3 makes it, without the entry of a log.
func bundle(t *testing.T, key crypto.Signer, payloadType, predicate, digest string) []byte {
	t.Helper()
	payload := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],"predicateType":%q,"predicate":{}}`,
		strings.TrimPrefix(digest, "sha256:"), predicate)
	sum := sha256.Sum256(dsse.PAE(payloadType, payload))
	raw, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}}`,
		bundleType, base64.StdEncoding.EncodeToString(payload), payloadType, base64.StdEncoding.EncodeToString(raw))
}

func TestSignaturesThatRefer(t *testing.T) {
	key, other := newKey(t), newKey(t)
	authority := newPKI(t)
	const foreign = "sha256:00000000000000000000000000000000000000000000000000000000000000ff"
	const statement = "application/vnd.in-toto+json"
	inBundle := func(signer crypto.Signer, payloadType, predicate, manifest string) func(*testing.T, *httptest.Server, string) {
		return func(t *testing.T, s *httptest.Server, digest string) {
			refer(t, s, "base", digest, bundleType, bundleType, bundle(t, signer, payloadType, predicate, cmp.Or(manifest, digest)), nil)
		}
	}
	for name, tc := range map[string]struct {
		sign func(t *testing.T, s *httptest.Server, digest string)
		// want has to be in the message. Nil: the chart is accepted.
		want []string
	}{
		"bundle": {sign: inBundle(key, statement, signatureOfImage, "")},
		"bundle of another key first": {sign: func(t *testing.T, s *httptest.Server, digest string) {
			inBundle(other, statement, signatureOfImage, "")(t, s, digest)
			inBundle(key, statement, signatureOfImage, "")(t, s, digest)
		}},
		"bundle beside a signature of another key": {sign: func(t *testing.T, s *httptest.Server, digest string) {
			sign(t, s, "base", digest, digest, other)
			inBundle(key, statement, signatureOfImage, "")(t, s, digest)
		}},
		"bundle of another key":      {inBundle(other, statement, signatureOfImage, ""), []string{"has 1 signatures, none by key sha256:", "cosign sign"}},
		"bundle of another manifest": {inBundle(key, statement, signatureOfImage, foreign), []string{foreign}},
		"attestation":                {inBundle(key, statement, "https://slsa.dev/provenance/v1", ""), []string{"has 1 signatures, none"}},
		"payload of another type":    {inBundle(key, "text/plain", signatureOfImage, ""), []string{"has 1 signatures, none"}},
		"bundle of a file": {func(t *testing.T, s *httptest.Server, digest string) {
			refer(t, s, "base", digest, bundleType, bundleType, []byte(`{"messageSignature":{}}`), nil)
		}, []string{"has no signature"}},
		"bundle that is too large": {func(t *testing.T, s *httptest.Server, digest string) {
			data := append(bundle(t, key, statement, signatureOfImage, digest), bytes.Repeat([]byte(" "), 300<<10)...)
			refer(t, s, "base", digest, bundleType, bundleType, data, nil)
		}, []string{"has no signature"}},
		"something else that refers": {func(t *testing.T, s *httptest.Server, digest string) {
			refer(t, s, "base", digest, "application/spdx+json", bundleType, bundle(t, key, statement, signatureOfImage, digest), nil)
		}, []string{"has no signature"}},
		"manifest as under the tag": {sign: func(t *testing.T, s *httptest.Server, digest string) {
			payload := fmt.Appendf(nil, `{"critical":{"image":{"docker-manifest-digest":%q}}}`, digest)
			sum := sha256.Sum256(payload)
			raw, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			refer(t, s, "base", digest, "application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.dev.cosign.simplesigning.v1+json", payload,
				map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(raw)})
		}},
	} {
		for where, handler := range map[string]http.Handler{
			"by the API": ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)), "by the tag": newRegistry(),
		} {
			t.Run(name+" "+where, func(t *testing.T) {
				registry := authority.start(handler)
				digest := push(t, registry, "base", "1.31.1", packed(t, "base", "1.31.1", 0))
				tc.sign(t, registry, digest)
				source := fetch.Source{OCI: ociPath(registry), CA: authority.pem(), Key: publicPEM(t, key)}
				_, err := fetch.Charts(t.Context(), source, "1.31.1", "base")
				if tc.want == nil {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				wantError(t, err, fetch.Unsigned, tc.want...)
			})
		}
	}
}
