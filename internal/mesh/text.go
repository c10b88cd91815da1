package mesh

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// NamesShown bounds how many names a message has.
	NamesShown = 5
	// namesCapped bounds them in messages that contain several lists.
	namesCapped = 3
)

// List joins names for a message, sorted: five at most, and how many more of the total there are.
func List(names []string, total int) string { return join(names, total, NamesShown) }

// Capped joins names for a message that contains several lists, sorted: three at most, and how many more there are.
func Capped(names []string) string { return join(names, len(names), namesCapped) }

// Says is a list after a comma and what it is of. Empty if there are no names.
func Says(what string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", " + what + ": " + Capped(names)
}

func join(names []string, total, shown int) string {
	names = slices.Sorted(slices.Values(names))
	if total <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), total-shown)
}
