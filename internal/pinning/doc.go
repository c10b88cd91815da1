// Package pinning fetches the charts of a release from where a user keeps them, and pins them: what was fetched once is kept on the hub by
// its digest, and is what the mesh runs, whatever its source has later.
package pinning
