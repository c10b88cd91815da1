// Package writer writes container images without a container engine. The operator's image and the images of the lab are
// written by it.
//
// The same input gives the same bytes. Entries are sorted and have no times. Layers are compressed by Go's gzip, so a
// toolchain with another gzip gives another digest.
package writer
