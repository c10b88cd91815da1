// Package rollout decides the next step of the upgrade that runs: which members start, go on, wait or roll back.
package rollout
