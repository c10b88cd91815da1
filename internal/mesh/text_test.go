package mesh

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

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

func TestShorten(t *testing.T) {
	const size = 1000
	for name, c := range map[string]struct{ in, want string }{
		"short":                    {"short", "short"},
		"at the limit":             {strings.Repeat("a", size), strings.Repeat("a", size)},
		"beyond it":                {strings.Repeat("a", size+1), strings.Repeat("a", size-3) + "…"},
		"what is no text at all":   {"a\xff", "a?"},
		"never inside a character": {strings.Repeat("ü", size), strings.Repeat("ü", (size-3)/2) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Shorten(c.in, size)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if len(got) > size || !utf8.ValidString(got) {
				t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
			}
		})
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "abcd": "abcd", "abcde": "abcd", "aaaü": "aaa"} {
		if got := Cut(in, 4); got != want {
			t.Errorf("Cut(%q, 4) is %q, want %q", in, got, want)
		}
	}
}

func TestFit(t *testing.T) {
	long := func(name string) string { return name + strings.Repeat("x", 500) }
	for name, c := range map[string]struct {
		texts []string
		size  int
		want  []string
	}{
		"nothing":                               {nil, 100, []string{""}},
		"all of what fits":                      {[]string{"a", "b"}, 100, []string{"a; b"}},
		"a long one does not hide the others":   {[]string{long("a: "), "b: short", long("c: ")}, 200, []string{"a: x", "; b: short; c: x"}},
		"a long one gets what short ones leave": {[]string{"a", long("b: ")}, 200, []string{"a; b: " + strings.Repeat("x", 180)}},
		"there is no room for some":             {slices.Repeat([]string{long("a")}, 9), 100, []string{"and 7 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Fit(c.texts, c.size, "; ")
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			if most := c.size + len("; and 99 more"); len(got) > most {
				t.Errorf("%d bytes, want %d at most", len(got), most)
			}
		})
	}
}
