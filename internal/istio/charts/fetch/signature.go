package fetch

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
)

// The parts of a signature of cosign that is kept beside what it signs: the tag sha256-<hex>.sig.
const (
	signatureLayer      = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	// maxSignatures is how many signatures of a chart are looked at.
	maxSignatures = 32
	// maxPayload is the size of the largest payload of a signature, in bytes. They have about 250.
	maxPayload = 64 << 10
)

// signatureKey is the key that charts must be signed with.
type signatureKey struct {
	public   crypto.PublicKey
	verifier signature.Verifier
	// fingerprint is `sha256:` and the SHA-256 of the key in DER, in hex.
	fingerprint string
}

func readKey(pem []byte) (*signatureKey, error) {
	const cure = "set it to the content of cosign.pub"
	public, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, invalid(err, "spec.charts.verify.cosignPublicKey is not a public key in PEM (%d bytes): %s", len(pem), cure)
	}
	der, err := cryptoutils.MarshalPublicKeyToDER(public)
	if err != nil {
		return nil, invalid(err, "spec.charts.verify.cosignPublicKey is a key of type %T, which cannot be used: %s", public, cure)
	}
	verifier, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		return nil, invalid(err, "spec.charts.verify.cosignPublicKey is a key of type %T, which cannot be used: %s", public, cure)
	}
	return &signatureKey{public: public, verifier: verifier, fingerprint: digestOf(der)}, nil
}

// payload is what is signed.
type payload struct {
	Critical struct {
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
	} `json:"critical"`
}

// evidence is what was found while a signature was looked for.
type evidence struct {
	// count is the number of signatures that were looked at, foreign the manifest for which one by the key is.
	count   int
	foreign string
}

// verify succeeds when one of the signatures of a manifest is by the key and for that manifest.
func (r *ociRegistry) verify(ctx context.Context, repository *remote.Repository, place, digest string) error {
	var seen evidence
	for _, look := range []func(context.Context, *remote.Repository, string, *evidence) (bool, error){r.taggedSignatures, r.referringSignatures} {
		isSigned, err := look(ctx, repository, digest, &seen)
		if err != nil {
			return r.failure(err)
		}
		if isSigned {
			return nil
		}
	}
	unsigned := func(cause error, format string, args ...any) error {
		fact := fmt.Sprintf(format, args...)
		return &Error{Unsigned, fmt.Sprintf("%s (%s) %s by key %s: sign it (cosign sign --key cosign.key), or change spec.charts.verify.cosignPublicKey",
			place, digest, fact, r.key.fingerprint), cause}
	}
	switch {
	case seen.foreign != "":
		return unsigned(nil, "has a signature for another manifest (%s), none of its own,", clip(seen.foreign))
	case seen.count == 0:
		return unsigned(errdef.ErrNotFound, "has no signature")
	}
	return unsigned(nil, "has %d signatures, none", seen.count)
}

// taggedSignatures looks at those that cosign keeps under the tag sha256-<hex>.sig.
func (r *ociRegistry) taggedSignatures(ctx context.Context, repository *remote.Repository, digest string, seen *evidence) (bool, error) {
	manifest, _, err := r.manifest(ctx, repository, strings.Replace(digest, ":", "-", 1)+".sig")
	if errors.Is(err, errdef.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return r.simpleSignatures(ctx, repository, manifest, digest, seen)
}

// simpleSignatures looks at those in the layers of a manifest.
func (r *ociRegistry) simpleSignatures(
	ctx context.Context, repository *remote.Repository, manifest ocispec.Manifest, digest string, seen *evidence,
) (bool, error) {
	for _, layer := range manifest.Layers {
		encoded := layer.Annotations[signatureAnnotation]
		if layer.MediaType != signatureLayer || encoded == "" || layer.Size > maxPayload || seen.count >= maxSignatures {
			continue
		}
		seen.count++
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue // not a signature, so not one of the key
		}
		data, err := r.blob(ctx, repository, layer)
		if err != nil {
			return false, err
		}
		if r.key.verifier.VerifySignature(bytes.NewReader(raw), bytes.NewReader(data)) != nil {
			continue // of another key
		}
		var signed payload
		if json.Unmarshal(data, &signed) == nil && signed.Critical.Image.Digest == digest {
			return true, nil
		}
		seen.foreign = signed.Critical.Image.Digest
	}
	return false, nil
}
