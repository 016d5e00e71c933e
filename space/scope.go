package space

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A Scope says which networks may be probed, who authorised it and until when
// (DESIGN.md, rule 1).
type Scope struct {
	AuthorisedBy string // a person or an office
	Contact      string // where somebody who was probed reaches us
	// Expires is the first moment at which the scope does not hold any more. In
	// the file, the date 2026-12-31 means the end of that day in UTC.
	Expires  time.Time
	Networks []netip.Prefix
	Exclude  []netip.Prefix
	Note     string // for people, may have several lines
}

// The keys of a scope file, in the order in which they are written.
const (
	keyAuthorisedBy = "authorised_by"
	keyContact      = "contact"
	keyExpires      = "expires"
	keyNetworks     = "networks"
	keyExclude      = "exclude"
	keyNote         = "note"
)

var scopeKeys = []string{keyAuthorisedBy, keyContact, keyExpires, keyNetworks, keyExclude, keyNote}

// Limits on a scope file; a test reads one of 70,000 networks. The time of the
// YAML parser (goccy/go-yaml 1.19.2) grows with the square of open brackets, keys,
// and dashes on one line: 100,000 brackets took it 43 s, 50,000 keys and 200,000
// dashes more than 6 s each.
const (
	maxScope    = 16 << 20
	maxBrackets = 1000
	maxKeys     = 1000
	maxDashes   = 100
	maxText     = 300  // bytes of authorised_by and contact
	maxNote     = 8000 // bytes of note
)

// ParseScope reads a scope file: YAML, strict. An error names the text, line
// and column, and there is one for each mistake, up to twenty.
func ParseScope(name string, text []byte) (Scope, error) {
	f := scopeFile{complaints: complaints{name: name}}
	fields := f.fields(text)
	for _, key := range scopeKeys {
		field, ok := fields[key]
		switch {
		case ok:
			f.set(key, field)
		case fields != nil && key != keyExclude && key != keyNote:
			f.at(1, 1, fmt.Errorf("%s is missing", key))
		}
	}
	if err := f.err(); err != nil {
		return Scope{}, err
	}
	return f.scope, nil
}

var errSecondDocument = errors.New("a second document: one scope is one document")

// A scopeFile is a scope while it is read.
type scopeFile struct {
	complaints
	scope Scope
}

// fields returns the values of the file by key, or nil when there are none to
// be had.
func (f *scopeFile) fields(text []byte) map[string]ast.Node {
	s := strings.TrimPrefix(string(text), "\ufeff")
	if line, err := checkText(s); err != nil {
		f.at(line, 1, err)
		return nil
	}
	tokens := lexer.Tokenize(s)
	if t, err := checkTokens(tokens); err != nil {
		f.at(t.Position.Line, t.Position.Column, err)
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if bad, ok := errors.AsType[yaml.Error](err); ok && bad.GetToken() != nil {
		at := bad.GetToken().Position
		f.at(at.Line, at.Column, errors.New(firstLine(bad.GetMessage())))
		return nil
	} else if err != nil {
		f.at(1, 1, errors.New(firstLine(err.Error())))
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body == nil:
			body = doc.Body
		default:
			f.atNode(doc.Body, errSecondDocument)
			return nil
		}
	}
	if body == nil {
		f.at(1, 1, errors.New("the scope is empty"))
		return nil
	}
	mapping, ok := body.(*ast.MappingNode)
	if !ok {
		f.atNode(body, fmt.Errorf("want keys and values, such as %s: ..., not %s", keyAuthorisedBy, kind(body)))
		return nil
	}
	fields := make(map[string]ast.Node, len(mapping.Values))
	for _, v := range mapping.Values {
		key := v.Key.GetToken().Value
		if known(key) {
			fields[key] = v.Value
		} else {
			f.atNode(v.Key, fmt.Errorf("unknown key %s%s", quote(key), didYouMean(key)))
		}
	}
	return fields
}

// checkText refuses what is no text.
func checkText(s string) (line int, err error) {
	if len(s) > maxScope {
		return 1, fmt.Errorf("the scope has %d bytes: the limit is %d", len(s), maxScope)
	}
	for text := range strings.Lines(s) {
		line++
		switch {
		case !utf8.ValidString(text):
			return line, errors.New("the text is not UTF-8")
		case strings.Contains(text, "\x00"):
			return line, errors.New("the text has a NUL")
		case strings.Contains(strings.TrimSuffix(text, "\r\n"), "\r"):
			return line, errors.New("the text has a CR that ends no line")
		}
	}
	return 0, nil
}

// checkTokens refuses what the parser would read at great cost.
func checkTokens(tokens token.Tokens) (*token.Token, error) {
	documents, brackets, keys, dashes, last := 0, 0, 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != last {
			dashes, last = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType:
			return t, errors.New("braces: write keys and values on lines of their own")
		case token.DocumentHeaderType:
			documents++
		case token.SequenceStartType:
			brackets++
		case token.MappingValueType, token.MappingKeyType:
			keys++
		case token.SequenceEntryType:
			dashes++
		}
		switch {
		case documents > 1:
			return t, errSecondDocument
		case brackets > maxBrackets:
			return t, fmt.Errorf("more than %d brackets: write lists with dashes", maxBrackets)
		case keys > maxKeys:
			return t, fmt.Errorf("more than %d keys: put addresses that end in a colon in quotes", maxKeys)
		case dashes > maxDashes:
			return t, fmt.Errorf("more than %d dashes on one line", maxDashes)
		}
	}
	return nil, nil
}

func (f *scopeFile) set(key string, n ast.Node) {
	switch key {
	case keyAuthorisedBy:
		f.scope.AuthorisedBy = f.text(key, n, maxText)
	case keyContact:
		f.scope.Contact = f.text(key, n, maxText)
	case keyNote:
		f.scope.Note = f.text(key, n, maxNote)
	case keyExpires:
		f.scope.Expires = f.moment(key, n)
	case keyNetworks:
		f.scope.Networks = f.prefixes(key, n)
		if _, list := n.(*ast.SequenceNode); list && len(n.(*ast.SequenceNode).Values) == 0 {
			f.atNode(n, fmt.Errorf("%s: the list is empty: nothing may be probed", key))
		}
	case keyExclude:
		f.scope.Exclude = f.prefixes(key, n)
	}
}

// text returns a value that people read, and that pages, mails and terminals
// show: no control characters, and lines only in the note.
func (f *scopeFile) text(key string, n ast.Node, limit int) string {
	s, ok := scalar(n)
	if !ok {
		f.atNode(n, fmt.Errorf("%s: want text, not %s: put it in quotes", key, kind(n)))
		return ""
	}
	s = strings.TrimSpace(s)
	strange := func(r rune) bool { return !unicode.IsGraphic(r) && (key != keyNote || r != '\n') }
	switch {
	case s == "" && key != keyNote:
		f.atNode(n, fmt.Errorf("%s is empty: write who it is", key))
	case len(s) > limit:
		f.atNode(n, fmt.Errorf("%s has %d bytes: the limit is %d", key, len(s), limit))
	case strings.ContainsFunc(s, strange):
		at := strings.IndexFunc(s, strange)
		f.atNode(n, fmt.Errorf("%s: %s has a character that does not print", key, quote(s[max(0, at-20):])))
	default:
		return s
	}
	return ""
}

func (f *scopeFile) moment(key string, n ast.Node) time.Time {
	s, ok := scalar(n)
	if ok && strings.TrimSpace(s) == "" {
		f.atNode(n, fmt.Errorf("%s is empty: write the last day on which the scope holds, such as 2026-12-31", key))
		return time.Time{}
	}
	t, err := parseExpires(s)
	if !ok || err != nil {
		f.atNode(n, fmt.Errorf("%s: %s: want a day such as 2026-12-31 or a time such as 2026-12-31T18:00:00Z",
			key, quote(n.GetToken().Value)))
	}
	return t
}

func parseExpires(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	t, err := time.Parse(time.DateOnly, s)
	if err == nil {
		t = t.AddDate(0, 0, 1)
	} else if t, err = time.Parse(time.RFC3339, s); err != nil {
		return time.Time{}, fmt.Errorf("read the time: %w", err)
	}
	t = t.UTC()
	if t.Year() < 2000 || t.Year() > 9999 {
		return time.Time{}, errors.New("read the time: the year is out of range")
	}
	return t, nil
}

func (f *scopeFile) prefixes(key string, n ast.Node) []netip.Prefix {
	if _, null := n.(*ast.NullNode); null && key == keyExclude {
		return nil // the key alone, as people leave it
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		f.atNode(n, fmt.Errorf("%s: want a list, a dash before each prefix, not %s", key, kind(n)))
		return nil
	}
	var all []netip.Prefix
	for _, item := range list.Values {
		if f.full() {
			return nil
		}
		s, ok := scalar(item)
		if !ok {
			f.atNode(item, fmt.Errorf("%s: want a prefix or an address, not %s%s", key, kind(item), colonHint(item)))
			continue
		}
		p, err := parsePrefix(s)
		if err != nil {
			f.atNode(item, fmt.Errorf("%s: %s: %w", key, quote(s), err))
			continue
		}
		all = append(all, p)
	}
	return all
}

// colonHint explains why 2001:db8:: is not read as text: YAML takes the colon
// at the end of a word for the mark of a key.
func colonHint(n ast.Node) string {
	m, ok := n.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 {
		return ""
	}
	s := m.Values[0].Key.GetToken().Value + ":"
	if _, err := netip.ParseAddr(s); err != nil {
		return ""
	}
	return fmt.Sprintf(": write %q, in quotes", s)
}

func (f *scopeFile) atNode(n ast.Node, err error) {
	for {
		m, ok := n.(*ast.MappingNode)
		if !ok || len(m.Values) == 0 {
			break
		}
		n = m.Values[0].Key // the token of a mapping is its first colon
	}
	at := n.GetToken().Position
	f.at(at.Line, at.Column, err)
}

// scalar returns the text of a node that is text in YAML.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// kind names what a node is, for somebody who does not know YAML well.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a key and its value"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "this"
}

func known(key string) bool {
	for _, k := range scopeKeys {
		if k == key {
			return true
		}
	}
	return false
}

// didYouMean returns the known key that is nearest to what was written, if one
// is near.
func didYouMean(key string) string {
	nearest, least := "", 4
	for _, k := range scopeKeys {
		if d := distance(strings.ToLower(key), k); d < least && d < len(k)/2 {
			nearest, least = k, d
		}
	}
	if nearest == "" {
		return fmt.Sprintf(": the keys are %s", strings.Join(scopeKeys, ", "))
	}
	return fmt.Sprintf(": did you mean %s?", nearest)
}

// distance is Levenshtein's, for words of a key's length.
func distance(a, b string) int {
	if len(a) > 2*len(b) {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
