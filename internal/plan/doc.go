// Package plan decides what the members of a mesh must look like. It is pure: it takes what was read and the time,
// and returns what to write, without a client, a clock or a logger.
package plan
