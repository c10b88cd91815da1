// Command image writes the operator's container image without Docker, as two files:
//
//   - meshfleet.tar, a docker archive, which `ctr images import`, `docker load` and `podman load` read;
//   - meshfleet-oci.tar, an OCI image layout, which `skopeo copy oci-archive:…` and registries' tools read.
//
// With a binary for each of several architectures, it writes only the layout, with an index of one image for each.
//
// The image holds the static binary at /manager, Istio's charts at /charts, a bundle of public root certificates
// for API servers that have publicly trusted certificates, and the user 65532. The same input gives the same bytes: files
// are sorted, owned by root, without times, and compressed by the pinned toolchain.
package main
