package mesh

import "testing"

func TestEnumerate(t *testing.T) {
	for want, got := range map[string]string{
		"":                  Enumerate(nil, 0, 2, ", "),
		"b, a":              Enumerate([]string{"b", "a"}, 2, 2, ", "),
		"b, a and 1 more":   Enumerate([]string{"b", "a", "c"}, 3, 2, ", "),
		"b and 8 more":      Enumerate([]string{"b"}, 9, 2, ", "),
		"b; a; and 2 more":  Sentences([]string{"b", "a", "c", "d"}, 2),
		"b: is down; a: is": Sentences([]string{"b: is down", "a: is"}, 2),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCapped(t *testing.T) {
	if got, want := Capped([]string{"e", "d", "c", "b", "a"}), "a, b, c and 2 more"; got != want {
		t.Errorf("Capped: %q, want %q", got, want)
	}
}
