package chart

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// holes puts template actions into objects. An action is no YAML, so the object gets a mark in its place. The object is written as YAML,
// and then each mark is replaced. What the object itself has of template syntax is escaped.
type holes struct {
	expressions, blocks []string
}

// marks must not be in any manifest: render refuses an object in which one was before.
const (
	expressionMark = "ExpressionOfTheChart"
	blockMark      = "BlockOfTheChart"
)

// expression returns a mark that becomes the text, wherever it is in a string.
func (h *holes) expression(text string) string {
	h.expressions = append(h.expressions, text)
	return fmt.Sprintf("%s%03d", expressionMark, len(h.expressions)-1)
}

// block returns a mark that is the value of a key or an item of a list. The lines take the place of the whole entry, with its indentation.
// Where the lines have `nindent +2`, the indentation of the entry is added to the number.
func (h *holes) block(lines string) string {
	h.blocks = append(h.blocks, strings.TrimSuffix(lines, "\n"))
	return fmt.Sprintf("%s%03d", blockMark, len(h.blocks)-1)
}

// refuse returns an error if an object has a mark by itself.
func refuse(object map[string]any) error {
	content, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	for _, mark := range []string{expressionMark, blockMark} {
		if strings.Contains(string(content), mark) {
			return fmt.Errorf("the text %q is reserved", mark)
		}
	}
	return nil
}

var (
	expressionAt = regexp.MustCompile(expressionMark + `(\d{3})`)
	// blockAt matches a line with a block: its indentation, the dash of a list's item, the key, the number.
	blockAt    = regexp.MustCompile(`^( *)(- )?([^\s:]+: )?` + blockMark + `(\d{3})\n?$`)
	relativeTo = regexp.MustCompile(`nindent \+(\d+)`)
)

// render returns the object as a template.
func (h *holes) render(object map[string]any) (string, error) {
	content, err := yaml.Marshal(object)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(escape(string(content))) {
		match := blockAt.FindStringSubmatch(line)
		if match == nil {
			out.WriteString(h.fill(line))
			continue
		}
		text, err := h.placed(match)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	if strings.Contains(out.String(), blockMark) {
		return "", fmt.Errorf("a block is neither the value of a key nor an item of a list:\n%s", out.String())
	}
	return out.String(), nil
}

// fill replaces the expressions in a line.
func (h *holes) fill(line string) string {
	return expressionAt.ReplaceAllStringFunc(line, func(mark string) string {
		return h.expressions[number(strings.TrimPrefix(mark, expressionMark))]
	})
}

// placed returns the lines of a block where blockAt has matched.
func (h *holes) placed(match []string) (string, error) {
	indent, dash, key := match[1], match[2], match[3]
	lines := strings.Split(h.blocks[number(match[4])], "\n")
	first := indent
	if dash != "" && key != "" {
		// The entry is the first one of a map that is an item of a list. A line that is an action would take the dash with it.
		if strings.HasPrefix(lines[0], "{{") {
			return "", fmt.Errorf("the block %q cannot be the first entry of a list's item", lines[0])
		}
		first, indent = indent+dash, indent+"  "
	}
	var out strings.Builder
	for n, line := range lines {
		if n > 0 {
			first = indent
		}
		line = relativeTo.ReplaceAllStringFunc(line, func(text string) string {
			return "nindent " + strconv.Itoa(len(indent)+number(relativeTo.FindStringSubmatch(text)[1]))
		})
		out.WriteString(first + line + "\n")
	}
	return out.String(), nil
}

// number reads digits that a regular expression has matched.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		panic(fmt.Sprintf("%q are not digits: %v", digits, err))
	}
	return n
}

// escape makes text that has template syntax come out of the template as it is.
func escape(text string) string {
	return strings.ReplaceAll(text, "{{", `{{ "{{" }}`)
}
