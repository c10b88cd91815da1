package gate

import (
	"fmt"
	"strings"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// messageSize bounds a message, which is kept in a status.
const messageSize = 1024

// OneLine fits the text of others into a status.
func OneLine(message string) string {
	return mesh.Shorten(strings.Join(strings.Fields(message), " "), messageSize)
}

// Count writes a number of things.
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
