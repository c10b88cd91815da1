// Package peercache keeps the last report of each member, so that a gate of one member can compare what its istiod knows of a peer with
// what that peer itself has, and so that no member removes what a peer still uses.
//
//	gate of east ──Get(west, at most 10 s old)──▶ cache ──at most one load at a time──▶ west
//	      ▲                                         │
//	      └────────── hosts and addresses ◀─────────┘
//
// A load runs in its own goroutine with its own deadline. A caller waits as long as its context allows. All who ask at the same time get
// the same value, so that a member does the same work for one peer and for a hundred. A value that nobody asks for is dropped after a
// while: memory is bounded by the members whose peers are being upgraded.
//
// All times are of this process's clock. The order of a load and of any other observation of the same process is therefore exact.
package peercache
