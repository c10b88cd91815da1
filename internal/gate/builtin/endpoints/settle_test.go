package endpoints

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSettleAsksAsLittleAsItCan wants peers to be asked once while nothing differs, and then only those that are concerned.
func TestSettleAsksAsLittleAsItCan(t *testing.T) {
	differs := map[endpoint]deviation{{pod: "new", host: "web.demo", cluster: "west", address: "10.9.0.1"}: {}}
	for name, test := range map[string]struct {
		differences map[endpoint]deviation
		want        [][]string
	}{
		"nothing differs":            {want: [][]string{{"north", "west"}}},
		"something of one peer does": {differences: differs, want: [][]string{{"north", "west"}, {"west"}, {"west"}, {"west"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked [][]string
				started := time.Now()
				c, err := Settle(t.Context(), []string{"north", "west"}, func(peers []string, _ time.Duration) (Comparison, error) {
					asked = append(asked, peers)
					c := Comparison{reported: peers, known: map[string]int{}, differences: maps.Clone(test.differences)}
					for _, peer := range peers {
						c.known[peer] = 1
					}
					return c, nil
				})
				if err != nil || len(c.differences) != len(test.differences) || !slices.Equal(c.reported, []string{"north", "west"}) || c.known["north"] != 1 {
					t.Errorf("%+v, %v, want %v, and what is known of both peers", c, err, test.differences)
				}
				if diff := cmp.Diff(test.want, asked); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
				if took, want := time.Since(started), time.Duration(len(asked)-1)*time.Second; took != want {
					t.Errorf("took %s, want %s", took, want)
				}
			})
		})
	}
}
