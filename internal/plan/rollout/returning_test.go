package rollout

import (
	"fmt"
	"strings"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestReturning(t *testing.T) {
	back := func(name, words string) *progress {
		p := &progress{name: name, ordered: meshv1alpha1.StageRollback, isReachable: true}
		if words != "" {
			p.report = &meshv1alpha1.MemberRolloutStatus{Message: words}
		}
		return p
	}
	down := back("west", "what it reported before it was lost")
	down.isReachable = false
	cases := map[string]struct {
		members []*progress
		want    string
	}{
		"each in its own words, sorted": {
			[]*progress{down, back("east", "2 of 3 workloads moved"), back("north", "")},
			`member "east": 2 of 3 workloads moved; member "north"; member "west" cannot be reached`,
		},
		"three of many": {
			[]*progress{back("a", ""), back("b", ""), back("c", ""), back("d", ""), back("e", "")},
			`member "a"; member "b"; member "c"; and 2 more`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := returning(c.members); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	long := returning([]*progress{back("a", strings.Repeat("x", 5000)), back("b", strings.Repeat("y", 5000))})
	if len(long) > 3*returningBytes {
		t.Errorf("the message has %d bytes", len(long))
	}
}

// TestGoingBackKeepsItsCause wants the cause to stay while the message tells what is waited for.
func TestGoingBackKeepsItsCause(t *testing.T) {
	w := newWorld(t, canaryAndRest()...)
	w.at("east", meshv1alpha1.StageInstall, meshv1alpha1.StageFailed)
	w.member("east").Status.Rollout.Message = "refused"
	first := Next(w.stored()).Status
	w.upgrade.Status = first
	w.at("east", meshv1alpha1.StageRollback, meshv1alpha1.StageProgressing)
	w.member("east").Status.Rollout.Message = "0 of 1 replicas available"
	second := Next(w.stored()).Status
	if first.CauseDetail == "" || second.CauseDetail != first.CauseDetail {
		t.Errorf("the cause was %q and is %q", first.CauseDetail, second.CauseDetail)
	}
	want := fmt.Sprintf("%s; rolling back: member %q: 0 of 1 replicas available", first.CauseDetail, "east")
	if second.Message != want {
		t.Errorf("message %q, want %q", second.Message, want)
	}
}
