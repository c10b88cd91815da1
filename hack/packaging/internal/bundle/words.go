package bundle

import (
	"regexp"
	"strings"
	"unicode"
)

// acronyms are written in capitals in display names.
var acronyms = map[string]string{"api": "API", "ca": "CA", "id": "ID", "oci": "OCI", "uid": "UID", "url": "URL"}

// displayName turns the path of a field into words. Names before the last list are left out, because a form shows its items below it:
// `members[0].clusterRef.kubeconfigSecret` becomes `Cluster Ref Kubeconfig Secret`.
func displayName(path string) string {
	if i := strings.LastIndex(path, item+"."); i >= 0 {
		path = path[i+len(item)+1:]
	}
	var all []string
	for name := range strings.SplitSeq(path, ".") {
		all = append(all, words(name)...)
	}
	return strings.Join(all, " ")
}

// words splits a name in camel case: `apiServerCA` has the words API, Server and CA.
func words(name string) []string {
	var found []string
	runes := []rune(name)
	start := 0
	for i := 1; i <= len(runes); i++ {
		if i < len(runes) && (!unicode.IsUpper(runes[i]) || unicode.IsUpper(runes[i-1])) {
			continue
		}
		word := string(runes[start:i])
		if acronym, is := acronyms[strings.ToLower(word)]; is {
			word = acronym
		} else {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		found, start = append(found, word), i
	}
	return found
}

// sentenceEnd is a full stop before the next sentence. Abbreviations and versions are not followed by a space and a capital or a quote.
var sentenceEnd = regexp.MustCompile("[.] +[A-Z`]")

// firstSentence is the first sentence of a description, on one line.
func firstSentence(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if at := sentenceEnd.FindStringIndex(text); at != nil {
		return text[:at[0]+1]
	}
	return text
}

// firstParagraph is the text up to the first empty line, on one line.
func firstParagraph(text string) string {
	paragraph, _, _ := strings.Cut(strings.TrimSpace(text), "\n\n")
	return strings.Join(strings.Fields(paragraph), " ")
}
