package endpoints

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPeersAreAskedAsLittleAsPossible wants peers to be asked once while nothing differs, and then only those that are
// concerned.
func TestPeersAreAskedAsLittleAsPossible(t *testing.T) {
	differs := map[endpoint]deviation{{pod: "new", host: "web.demo", cluster: "west", address: "10.9.0.1"}: {}}
	for name, test := range map[string]struct {
		differences map[endpoint]deviation
		want        [][]string
	}{
		"nothing differs":            {want: [][]string{{"north", "west"}}},
		"something of one peer does": {differences: differs, want: [][]string{{"north", "west"}, {"west"}, {"west"}, {"west"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked [][]string
			var before *Comparison
			for {
				peers, _ := before.ToAsk([]string{"north", "west"})
				asked = append(asked, peers)
				now := Comparison{looks: 1, pods: []string{"new"}, reported: peers, known: map[string]int{}, differences: test.differences}
				for _, peer := range peers {
					now.known[peer] = 1
				}
				now = before.Confirmed(now)
				if before = &now; !now.IsOpen() {
					break
				}
			}
			if len(before.differences) != len(test.differences) || !slices.Equal(before.reported, []string{"north", "west"}) || before.known["north"] != 1 {
				t.Errorf("%+v, want %v, and what is known of both peers", before, test.differences)
			}
			if diff := cmp.Diff(test.want, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOtherIstiodPodsAreAFirstLook wants no difference to vanish because another pod shows it.
func TestOtherIstiodPodsAreAFirstLook(t *testing.T) {
	one := func(pod string) Comparison {
		return Comparison{looks: 1, pods: []string{pod}, differences: map[endpoint]deviation{{pod: pod, host: "web.demo", cluster: "west", address: "10.9.0.1"}: {}}}
	}
	before := one("a")
	before.looks = 3
	if now := before.Confirmed(one("b")); now.looks != 1 || len(now.differences) != 1 {
		t.Errorf("%+v, want a first look with its difference", now)
	}
}
