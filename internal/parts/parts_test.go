package parts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRemovalOrder takes what rests on something else out before it. What no part knows goes first.
func TestRemovalOrder(t *testing.T) {
	components := []string{
		"claim", "trust", "base", "reader", "istiod-1-29-1", "istiod-1-28-3", "tags", "reader-tokens", "remote-secrets", "discovery-marker",
		"gateway-listener", "eastwest-1-29-1", "of-a-newer-operator",
	}
	want := []string{
		"of-a-newer-operator", "eastwest-1-29-1", "gateway-listener", "discovery-marker", "remote-secrets", "reader-tokens", "tags",
		"istiod-1-29-1", "istiod-1-28-3", "reader", "base", "trust", "claim",
	}
	if diff := cmp.Diff(want, New(Deps{}).RemovalOrder(components)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
