// Package member is one pass over one member: its MeshMember, its cluster, and what the steps of the pass have found so far.
//
//	parts ──list of Step──▶ controllers/member ──Run(ctx, Pass)──▶ phase.Result ──▶ conditions
//	                                                │
//	                        Apply, Remote, World, Siblings, Result(step), Memory[T]
//
// A Part is one thing that a member consists of, such as its east-west gateway. It is a set of steps, and what else must be known of
// it: the components that it makes, their kinds, and the permissions that it needs in the member.
//
// A pass belongs to one goroutine. What is remembered between passes is in a Memory. It outlasts a change of the credential, and is
// forgotten when the member is another cluster: losing it costs reads and time, and never a wrong decision.
package member
