// Package fleet holds the connections to the member clusters. It is a multicluster-runtime provider whose clusters
// are named by whoever calls Ensure, and not discovered.
//
// Each member has one goroutine, which makes the connection, engages it with the multicluster manager and then asks
// the API server every ProbeInterval whether it is still there:
//
//	Ensure ──▶ Connecting ──answers──▶ Connected ◀──────answers──────┐
//	                │                      │                          │
//	                └──no answer──▶ Down ◀─┴─no answer for DownAfter──┘
//
// What must stay true:
//
//   - No lock is held across a network call, so that a member that hangs delays nobody else.
//   - A cluster is engaged only after its API server has answered, and through a view (engaged.go) that never waits
//     for caches: controllers hold their own lock while they engage a cluster.
//   - A member that is down stays engaged, because its informers find back by themselves. Only another source, or
//     another cluster at the same address, replaces the connection.
//   - What is said about a failure stays the same while the failure does, and never contains a credential.
package fleet
