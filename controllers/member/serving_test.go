package member

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestServeClock counts from when a gateway was first seen to serve without a break.
func TestServeClock(t *testing.T) {
	var c serveClock
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		name   string
		serves bool
		at     time.Duration
		want   time.Duration
	}{
		{"a", false, 0, 0},
		{"a", true, time.Second, 0},
		{"a", true, 4 * time.Second, 3 * time.Second},
		{"a", false, 5 * time.Second, 0},
		{"a", true, 6 * time.Second, 0},
		{"b", true, 9 * time.Second, 0},
		{"b", true, 11 * time.Second, 2 * time.Second},
	} {
		if got := c.since(step.name, step.serves, start.Add(step.at)); got != step.want {
			t.Errorf("%s after %s: has served for %s, want %s", step.name, step.at, got, step.want)
		}
	}
}

// TestWarmUp holds back only a gateway that takes over from another one.
func TestWarmUp(t *testing.T) {
	announced := &metav1.Time{Time: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		present meshv1alpha1.GatewayStatus
		want    time.Duration
	}{
		"the first gateway":                   {meshv1alpha1.GatewayStatus{}, 0},
		"one that peers were never told of":   {meshv1alpha1.GatewayStatus{Name: "old"}, 0},
		"the gateway that is there":           {meshv1alpha1.GatewayStatus{Name: "new", Announced: announced}, 0},
		"one that takes over from another":    {meshv1alpha1.GatewayStatus{Name: "old", Announced: announced}, connect},
		"one that takes over from a nameless": {meshv1alpha1.GatewayStatus{Announced: announced}, connect},
	} {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Status.Gateway = c.present
			if got := warmUp(&scope{member: m}, "new"); got != c.want {
				t.Errorf("must serve for %s, want %s", got, c.want)
			}
		})
	}
}
