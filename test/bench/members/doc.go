// Package members measures what a mesh of hundreds of members costs on the hub, with members that are played: a real API server, the real
// operator in a process of its own, and a test that issues certificates and writes the status of every MeshMember as a member that is well
// would.
//
//	make bench-members SIZES=200,1000
//
// What it measures: the work orders, the summary, the events between members, and the objects in etcd. What it leaves out: the passes over
// members. Their connections never come up, so that the reconciler of MeshMembers runs its queue and ends each pass at the first step.
//
// RESULTS.md has the figures.
package members
