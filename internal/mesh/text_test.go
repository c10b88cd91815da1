package mesh

import "testing"

func TestCapped(t *testing.T) {
	if got, want := Capped([]string{"e", "d", "c", "b", "a"}), "a, b, c and 2 more"; got != want {
		t.Errorf("Capped: %q, want %q", got, want)
	}
}
