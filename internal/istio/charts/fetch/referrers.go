package fetch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	sigdsse "github.com/sigstore/sigstore/pkg/signature/dsse"
	"oras.land/oras-go/v2/registry/remote"
)

// What cosign attaches to what it signs as a referrer (OCI 1.1): a Sigstore bundle, or, with --registry-referrers-mode=oci-1-1 of its version 2, a
// manifest as under the tag sha256-<hex>.sig.
const (
	bundleType         = "application/vnd.dev.sigstore.bundle"
	simpleReferrerType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	statementType      = "application/vnd.in-toto+json"
	signaturePredicate = "https://sigstore.dev/cosign/sign/v1"
	// maxBundle is the size of the largest bundle, in bytes. They have about ten thousand.
	maxBundle = 256 << 10
)

// statement is what is signed in a bundle (in-toto). An attestation has another predicate: it is no signature.
type statement struct {
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
}

var errEnoughReferrers = errors.New("enough referrers")

// referringSignatures looks at those that refer to the manifest. A registry without the API of OCI 1.1 has a list of them under a tag.
func (r *ociRegistry) referringSignatures(ctx context.Context, repository *remote.Repository, subject string, seen *evidence) (bool, error) {
	var found []ocispec.Descriptor
	err := repository.Referrers(ctx, ocispec.Descriptor{Digest: digest.Digest(subject)}, "", func(page []ocispec.Descriptor) error {
		for _, d := range page {
			if mayBeSignature(d.ArtifactType) {
				found = append(found, d)
			}
		}
		if len(found) >= maxSignatures {
			return errEnoughReferrers
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnoughReferrers) {
		return false, err
	}
	for _, d := range found[:min(len(found), maxSignatures)] {
		manifest, _, err := r.manifest(ctx, repository, d.Digest.String())
		if err != nil {
			return false, err
		}
		isSigned := false
		switch artifactType := cmp.Or(manifest.ArtifactType, manifest.Config.MediaType); {
		case isBundle(artifactType):
			isSigned, err = r.bundledSignatures(ctx, repository, manifest, subject, seen)
		case artifactType == simpleReferrerType:
			isSigned, err = r.simpleSignatures(ctx, repository, manifest, subject, seen)
		}
		if err != nil || isSigned {
			return isSigned, err
		}
	}
	return false, nil
}

// mayBeSignature says whether a manifest that is listed with a type is to be read. A registry that knows configurations only lists the type of an
// empty one, and a list under a tag may have none.
func mayBeSignature(artifactType string) bool {
	return isBundle(artifactType) || artifactType == simpleReferrerType || artifactType == ocispec.MediaTypeEmptyJSON || artifactType == ""
}

// isBundle says whether a type is that of Sigstore bundles of any version.
func isBundle(mediaType string) bool { return strings.HasPrefix(mediaType, bundleType) }

// bundledSignatures looks at the bundles in the layers of a manifest.
func (r *ociRegistry) bundledSignatures(
	ctx context.Context, repository *remote.Repository, manifest ocispec.Manifest, subject string, seen *evidence,
) (bool, error) {
	for _, layer := range manifest.Layers {
		if !isBundle(layer.MediaType) || layer.Size > maxBundle || seen.count >= maxSignatures {
			continue
		}
		data, err := r.blob(ctx, repository, layer)
		if err != nil {
			return false, err
		}
		var bundle struct {
			Envelope *dsse.Envelope `json:"dsseEnvelope"`
		}
		if json.Unmarshal(data, &bundle) != nil || bundle.Envelope == nil {
			continue // of a file
		}
		seen.count++
		signed, isByKey := r.key.statement(ctx, bundle.Envelope)
		if !isByKey || signed.PredicateType != signaturePredicate {
			continue
		}
		var others []string
		for _, s := range signed.Subject {
			others = append(others, "sha256:"+s.Digest["sha256"])
		}
		if slices.Contains(others, subject) {
			return true, nil
		}
		seen.foreign = strings.Join(others, ", ")
	}
	return false, nil
}

// statement is what an envelope contains, if the key has signed it. Neither a certificate nor a transparency log is asked: the key is enough.
func (k *signatureKey) statement(ctx context.Context, envelope *dsse.Envelope) (signed statement, isByKey bool) {
	verifier, err := dsse.NewEnvelopeVerifier(&sigdsse.VerifierAdapter{SignatureVerifier: k.verifier, Pub: k.public})
	if err != nil || envelope.PayloadType != statementType {
		return signed, false
	}
	if _, err := verifier.Verify(ctx, envelope); err != nil {
		return signed, false
	}
	content, err := envelope.DecodeB64Payload()
	return signed, err == nil && json.Unmarshal(content, &signed) == nil
}
