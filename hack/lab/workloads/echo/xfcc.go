package main

import "strings"

const xfccHeader = "X-Forwarded-Client-Cert"

// callerSPIFFE returns the identity of the client that the nearest proxy saw.
// Each proxy appends an element, so only the last one is written by the own
// sidecar. Everything before it is the caller's claim.
func callerSPIFFE(headers []string) string {
	elements := splitQuoted(strings.Join(headers, ","), ',')
	if len(elements) == 0 {
		return ""
	}
	for _, pair := range splitQuoted(elements[len(elements)-1], ';') {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		value = strings.Trim(value, `"`)
		// A certificate may hold several URIs; a SPIFFE identity holds exactly one.
		if strings.EqualFold(key, "URI") && strings.HasPrefix(value, "spiffe://") {
			return value
		}
	}
	return ""
}

// splitQuoted splits at separators outside of double quotes: a quoted subject
// or certificate may hold commas and semicolons, and quotes behind a backslash.
func splitQuoted(s string, separator byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	if rest := s[start:]; strings.TrimSpace(rest) != "" {
		parts = append(parts, rest)
	}
	return parts
}
