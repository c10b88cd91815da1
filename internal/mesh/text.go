package mesh

import (
	"fmt"
	"slices"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// NamesShown bounds how many names a message has.
	NamesShown = 5
	// namesCapped bounds them in messages that contain several lists.
	namesCapped = 3
	// sampleShown bounds the names of a sample in a status.
	sampleShown = 10
)

// List joins names for a message, sorted: five at most, and how many more of the total there are.
func List(names []string, total int) string { return join(names, total, NamesShown) }

// Capped joins names for a message that contains several lists, sorted: three at most, and how many more there are.
func Capped(names []string) string { return join(names, len(names), namesCapped) }

// Labelled is a list after a comma and a label. Empty if there are no names.
func Labelled(label string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", " + label + ": " + Capped(names)
}

// Sentences joins texts with semicolons, in their order: as many as may be shown, and how many more there are.
func Sentences(texts []string, shown int) string {
	return Enumerate(texts, len(texts), shown, "; ")
}

// Enumerate joins items in their order: as many as may be shown, and how many more of the total there are. Every message
// that names some of many is made here.
func Enumerate(items []string, total, shown int, separator string) string {
	items = items[:min(len(items), shown)]
	text := strings.Join(items, separator)
	switch more := total - len(items); {
	case more <= 0:
		return text
	case strings.HasPrefix(separator, ","):
		return fmt.Sprintf("%s and %d more", text, more)
	default:
		return fmt.Sprintf("%s%sand %d more", text, separator, more)
	}
}

func join(names []string, total, shown int) string {
	return Enumerate(slices.Sorted(slices.Values(names)), total, shown, ", ")
}

// Shorten cuts a text that has more than so many bytes, and marks the cut. The result is valid UTF-8: JSON cannot carry half of a
// character, so that what is read back would differ from what was written, and every pass would write it again.
func Shorten(text string, size int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= size {
		return text
	}
	return Cut(text, size-len(ellipsis)) + ellipsis
}

// fitBytes is the least that Fit leaves of a text: a name, and the beginning of what is said of it.
const fitBytes = 40

// Fit joins texts in their order within a number of bytes, and cuts those that are longer than their fair share: what short ones leave
// belongs to the longer ones. So a long text never hides those after it. Texts for which there is no room are counted.
func Fit(texts []string, size int, separator string) string {
	shown := min(len(texts), max(1, size/(fitBytes+len(separator))))
	left := size - len(separator)*(shown-1)
	byLength := slices.Clone(texts[:shown])
	slices.SortFunc(byLength, func(a, b string) int { return len(a) - len(b) })
	share := left
	for i, text := range byLength {
		if share = left / (shown - i); len(text) > share {
			break
		}
		left -= len(text)
	}
	fitted := make([]string, shown)
	for i, text := range texts[:shown] {
		fitted[i] = text
		if len(text) > share {
			fitted[i] = Shorten(text, share)
		}
	}
	return Enumerate(fitted, len(texts), shown, separator)
}

// ellipsis marks where a text was cut.
const ellipsis = "…"

// Cut cuts a text that has more than so many bytes, between characters.
func Cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "")
}

// SampleOf counts names, sorts them and keeps the first.
func SampleOf(names []string) meshv1alpha1.Sample {
	return FirstOf(slices.Sorted(slices.Values(names)))
}

// FirstOf counts names and keeps the first.
func FirstOf(names []string) meshv1alpha1.Sample {
	return meshv1alpha1.Sample{Count: int32(len(names)), Names: names[:min(len(names), sampleShown)]} //nolint:gosec // far fewer than 2^31
}

// Leaves are the single errors of one that joins many. None: there is no error.
func Leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, isJoined := err.(interface{ Unwrap() []error })
	if !isJoined {
		return []error{err}
	}
	var out []error
	for _, below := range joined.Unwrap() {
		out = append(out, Leaves(below)...)
	}
	return out
}
