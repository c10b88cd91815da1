// Package census keeps what members have last said of themselves, so that a gate of one member can hold what its istiod
// knows of a peer against what that peer itself has, and so that no member gives up what a peer still needs.
//
//	gate of east ──"west, as of 10 s ago at most"──▶ census ──at most one at a time──▶ count of west
//	      ▲                                             │
//	      └──────────── hosts and addresses ◀───────────┘
//
// A count is taken in a goroutine of its own and has a deadline of its own. Whoever asks waits as long as it wants to, and all
// who ask at the same time get the same count, so that it costs a member the same whether one peer asks or a hundred do.
// Nothing is counted that nobody asks for, and a count is dropped when nobody has asked for it for a while: memory is bounded
// by the members whose peers are being upgraded.
//
// All times are of this process's clock. "Taken after" is therefore exact between a count and whatever the same process has
// looked at before.
package census
