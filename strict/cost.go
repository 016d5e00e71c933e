package strict

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

// Limits on YAML. The time and the memory of the parser (goccy/go-yaml 1.19.2)
// grow with the square of each of these; 8,000 keys of one mapping take it
// seconds, as do 8,000 empty lines at the end of a text of many lines.
const (
	maxOpen   = 20      // brackets within brackets
	maxDashes = 20      // on one line
	maxColumn = 80      // of a dash or a key outside of brackets: they stand one in another
	maxKeys   = 100     // of one mapping outside of braces
	maxBlank  = 50      // lines without a word, one after another
	maxMoves  = 1 << 31 // of tokens: a dash or key without a value moves all that follow
	maxPaths  = 1 << 28 // bytes: every node keeps the keys above it
)

// lines refuses what is read at great cost before there are tokens, and lines
// that are none for other programs.
func (f *File) lines(s string) bool {
	line, blank := 0, 0
	for text := range strings.Lines(s) {
		line++
		if blank++; strings.TrimSpace(text) != "" {
			blank = 0
		}
		switch {
		case strings.Contains(strings.TrimSuffix(text, "\r\n"), "\r"):
			f.At(line, 1, "the text has a CR that ends no line")
			return false
		case blank > maxBlank:
			f.At(line, 1, "more than %d empty lines in a row", maxBlank)
			return false
		}
	}
	return true
}

// dear returns the first token that the parser may not see, and why.
func dear(tokens token.Tokens) (*token.Token, string) {
	var c cost
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		why := c.add(t)
		switch {
		case why != "":
		case len(c.open) > maxOpen:
			why = "too many brackets in brackets: write lists with dashes"
		case c.dashes > maxDashes:
			why = "too many dashes on one line"
		case c.empty*len(tokens) > maxMoves:
			why = "too many keys and dashes without a value for so long a file: leave them out"
		case c.paths > maxPaths:
			why = "too much below long keys"
		}
		if why != "" {
			return t, why
		}
	}
	return nil, ""
}

// A cost is what the parser would pay for the tokens so far.
type cost struct {
	last        *token.Token
	open        []level // brackets
	maps        []level // mappings outside of brackets
	dashes      int     // on this line
	empty       int     // dashes and keys without a value
	path, paths int     // bytes of the keys above the last token, and above all
}

// A level is a bracket that is open, or a mapping, told by where its keys stand.
type level struct {
	brace, value bool // a colon has come since the last comma
	column, keys int
	name         int // bytes of the last key
}

// names sets the length of the last key.
func (c *cost) names(l *level, n int) { c.path, l.name = c.path+n-l.name, n }

// add counts one token. It returns what is wrong with it alone.
func (c *cost) add(t *token.Token) string {
	last := c.last
	c.last, c.paths = t, c.paths+c.path
	if last == nil {
		last = &token.Token{Position: t.Position}
	} else if t.Type == token.DocumentHeaderType || last.Type == token.DocumentEndType {
		return "a second document: one file is one document"
	}
	if t.Position.Line != last.Position.Line {
		c.dashes = 0
		c.lineAfter(last, t)
	}
	switch t.Type {
	case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
		return "an anchor, alias or tag: write it out, or put the text in quotes"
	case token.MappingKeyType:
		return "a question mark before a key: write key: value, or put the text in quotes"
	case token.MappingStartType, token.SequenceStartType:
		c.open = append(c.open, level{brace: t.Type == token.MappingStartType})
	case token.CollectEntryType, token.MappingEndType, token.SequenceEndType:
		if len(c.open) == 0 {
			break
		}
		in := &c.open[len(c.open)-1]
		if last.Type == token.MappingValueType || in.brace && !in.value {
			c.empty++
		}
		c.names(in, 0)
		if in.value = false; t.Type != token.CollectEntryType {
			c.open = c.open[:len(c.open)-1]
		}
	case token.MappingValueType:
		if len(c.open) == 0 {
			return c.key(last)
		}
		in := &c.open[len(c.open)-1]
		in.value = true
		c.names(in, len(last.Value))
	case token.SequenceEntryType:
		if len(c.open) == 0 {
			c.dashes++
			return c.leave(t.Position.Column)
		}
	}
	return ""
}

// key counts a key outside of brackets.
func (c *cost) key(t *token.Token) string {
	column := t.Position.Column
	why := c.leave(column)
	if len(c.maps) == 0 || c.maps[len(c.maps)-1].column < column {
		c.maps = append(c.maps, level{column: column})
	}
	in := &c.maps[len(c.maps)-1]
	c.names(in, len(t.Value))
	if in.keys++; in.keys > maxKeys {
		return "too many keys below each other: put addresses that end in a colon in quotes"
	}
	return why
}

// leave ends the mappings that stand to the right of a dash or key.
func (c *cost) leave(column int) string {
	for i := len(c.maps) - 1; i >= 0 && c.maps[i].column > column; i-- {
		c.names(&c.maps[i], 0)
		c.maps = c.maps[:i]
	}
	if column > maxColumn {
		return "too deep: a dash or a key that stands far to the right"
	}
	return ""
}

// lineAfter counts a dash or a key at the end of a line that has no value below
// it. The list of a key may stand at the key's own column.
func (c *cost) lineAfter(last, t *token.Token) {
	if len(c.open) > 0 {
		return
	}
	switch at := t.Position.Column; last.Type {
	case token.SequenceEntryType:
		if at <= last.Position.Column {
			c.empty++
		}
	case token.MappingValueType:
		key := c.maps[len(c.maps)-1].column
		if at < key || at == key && t.Type != token.SequenceEntryType {
			c.empty++
		}
	}
}
