// Package release writes the artefacts of a release into one directory: the image, the manifests, the Helm chart, what members need, lists of
// components (SBOM), the provenance, and checksums. The same commit, version and toolchain give the same bytes.
//
// Everything that names the image names it by its digest.
package release
