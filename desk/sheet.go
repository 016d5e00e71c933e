package desk

import (
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ippwatch/wire/ipp"
)

// Attribute files are in the form that ippeveprinter -a reads: one line
// "ATTR type name value,value" each; a collection stands in braces. Words such as
// $host and $now are filled in at each answer: see [Scene].
//
//go:embed attributes
var attributeFiles embed.FS

// A Sheet is the attributes of one printer, some of which change all the time.
type Sheet []line

// A line is one attribute. What never changes is there already.
type line struct {
	name   string
	tag    ipp.Tag
	values []string // nil when fixed
	fixed  ipp.Attribute
}

// A Scene is what a sheet is filled from.
type Scene struct {
	Host    string // as the client named it, with the port
	Queue   string
	Now     time.Time
	Started time.Time
	Pages   int    // printed since it was made
	State   string // printer-state
	Queued  int    // jobs that are not over
}

// words are what stands in a sheet for what changes.
func (s Scene) words() *strings.Replacer {
	return strings.NewReplacer(
		"$host", s.Host,
		"$queue", s.Queue,
		"$now", s.Now.UTC().Format(time.RFC3339),
		"$unix", strconv.FormatInt(s.Now.Unix(), 10),
		"$up", strconv.FormatInt(int64(s.Now.Sub(s.Started)/time.Second)+1, 10),
		"$state", s.State,
		"$waiting", strconv.Itoa(s.Queued),
		"$pages", strconv.Itoa(s.Pages),
		"$started", strconv.FormatInt(s.Started.Unix(), 10),
		"$begun", s.Started.UTC().Format(time.RFC3339),
	)
}

// attributeFile returns one of the embedded files.
func attributeFile(name string) (string, error) {
	text, err := attributeFiles.ReadFile("attributes/" + name)
	return string(text), err
}

// ParseSheet reads attribute lines; a later line replaces an earlier one of
// the same name.
func ParseSheet(text string) (Sheet, error) {
	var s Sheet
	at := make(map[string]int)
	for i, text := range strings.Split(text, "\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		l, err := parseLine(text)
		if err != nil {
			return nil, fmt.Errorf("attributes: line %d: %w", i+1, err)
		}
		if j, seen := at[l.name]; seen {
			s[j] = l
			continue
		}
		at[l.name] = len(s)
		s = append(s, l)
	}
	return s, nil
}

func parseLine(text string) (line, error) {
	word, rest, _ := strings.Cut(text, " ")
	kind, rest, _ := strings.Cut(rest, " ")
	name, rest, _ := strings.Cut(rest, " ")
	if word != "ATTR" || name == "" {
		return line{}, fmt.Errorf("%q: want ATTR type name value,value", text)
	}
	tag, known := tags[kind]
	if !known {
		return line{}, fmt.Errorf("%s: unknown type %q", name, kind)
	}
	values, err := splitValues(rest)
	if err != nil {
		return line{}, fmt.Errorf("%s: %w", name, err)
	}
	l := line{name: name, tag: tag, values: values}
	// A mistake is found now and not at the first answer.
	l.fixed, err = l.attribute(Scene{Host: "host", Queue: "queue", Now: time.Unix(1, 0), Started: time.Unix(0, 0), State: "3"}.words())
	if !strings.Contains(rest, "$") {
		l.values = nil
	}
	return l, err
}

// tags are the types by their registered names (RFC 8010, section 3.5.2).
var tags = map[string]ipp.Tag{
	"integer": ipp.TagInteger, "enum": ipp.TagEnum, "boolean": ipp.TagBoolean,
	"rangeOfInteger": ipp.TagRange, "resolution": ipp.TagResolution, "dateTime": ipp.TagDateTime,
	"octetString": ipp.TagOctetString, "textWithoutLanguage": ipp.TagText, "nameWithoutLanguage": ipp.TagName,
	"text": ipp.TagText, "name": ipp.TagName,
	"keyword": ipp.TagKeyword, "uri": ipp.TagURI, "uriScheme": ipp.TagURIScheme, "charset": ipp.TagCharset,
	"naturalLanguage": ipp.TagLanguage, "mimeMediaType": ipp.TagMimeType, "collection": ipp.TagBegCollection,
	"no-value": ipp.TagNoValue, "unknown": ipp.TagUnknown,
}

// splitValues splits at commas outside quotes and braces, and unquotes.
func splitValues(text string) ([]string, error) {
	var values []string
	depth, quoted, from := 0, false, 0
	take := func(to int) error {
		v := strings.TrimSpace(text[from:to])
		if strings.HasPrefix(v, `"`) {
			plain, err := strconv.Unquote(v)
			if err != nil {
				return fmt.Errorf("value %s: %w", v, err)
			}
			v = plain
		}
		values = append(values, v)
		from = to + 1
		return nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ',' && depth == 0:
			if err := take(i); err != nil {
				return nil, err
			}
		}
	}
	if quoted || depth != 0 {
		return nil, fmt.Errorf("value %q: not closed", text)
	}
	return values, take(len(text))
}

// attribute fills the line in.
func (l line) attribute(words *strings.Replacer) (ipp.Attribute, error) {
	if l.values == nil {
		return l.fixed, nil
	}
	a := ipp.Attribute{Name: l.name}
	for _, text := range l.values {
		v, err := value(l.tag, words.Replace(text))
		if err != nil {
			return a, fmt.Errorf("%s: %w", l.name, err)
		}
		a.Values = append(a.Values, v)
	}
	return a, nil
}

var errValue = errors.New("value does not fit its type")

// value reads one value of an attribute.
func value(tag ipp.Tag, text string) (ipp.Value, error) {
	switch tag {
	case ipp.TagInteger, ipp.TagEnum:
		n, err := strconv.ParseInt(text, 10, 32)
		return ipp.Integer(tag, int(n)), err
	case ipp.TagBoolean:
		b, err := strconv.ParseBool(text)
		return ipp.Bool(b), err
	case ipp.TagRange:
		low, high, err := pair(text, "-")
		return ipp.Range(low, high), err
	case ipp.TagResolution:
		dots, ok := strings.CutSuffix(text, "dpi")
		across, along, err := pair(dots, "x")
		if !ok {
			err = errors.Join(err, fmt.Errorf("resolution %q: %w", text, errValue))
		}
		return ipp.DotsPerInch(across, along), err
	case ipp.TagDateTime:
		at, err := time.Parse(time.RFC3339, text)
		return ipp.Date(at), err
	case ipp.TagBegCollection:
		members, rest, err := collection(text)
		if err == nil && rest != "" {
			err = fmt.Errorf("collection %q: %w", text, errValue)
		}
		return ipp.Value{Tag: tag, Members: members}, err
	case ipp.TagNoValue, ipp.TagUnknown:
		return ipp.Value{Tag: tag}, nil
	}
	return ipp.Value{Tag: tag, Data: text}, nil
}

func pair(text, sep string) (int, int, error) {
	a, b, _ := strings.Cut(text, sep)
	one, err1 := strconv.ParseInt(a, 10, 32)
	two, err2 := strconv.ParseInt(b, 10, 32)
	return int(one), int(two), errors.Join(err1, err2)
}

// collection reads "{name=value name={...}}" and returns what follows it. A
// member is an integer when it looks like one, else a keyword.
func collection(text string) (members []ipp.Attribute, rest string, err error) {
	text, ok := strings.CutPrefix(text, "{")
	if !ok {
		return nil, "", fmt.Errorf("collection %q: %w", text, errValue)
	}
	for {
		text = strings.TrimLeft(text, " ")
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return members, rest, nil
		}
		name, after, ok := strings.Cut(text, "=")
		if !ok {
			return nil, "", fmt.Errorf("collection member %q: %w", text, errValue)
		}
		if strings.HasPrefix(after, "{") {
			var inner []ipp.Attribute
			if inner, text, err = collection(after); err != nil {
				return nil, "", err
			}
			members = append(members, ipp.Attribute{Name: name, Values: []ipp.Value{{Tag: ipp.TagBegCollection, Members: inner}}})
			continue
		}
		end := strings.IndexAny(after, " }")
		if end < 0 {
			return nil, "", fmt.Errorf("collection member %q: %w", text, errValue)
		}
		word := after[:end]
		text = after[end:]
		if n, err := strconv.ParseInt(word, 10, 32); err == nil {
			members = append(members, ipp.Integers(ipp.TagInteger, name, int(n)))
		} else {
			members = append(members, ipp.Strings(ipp.TagKeyword, name, word))
		}
	}
}

// Fill returns the attributes that the client asked for, all when it named
// none, in the order of the sheet (RFC 8011, section 4.2.5.1).
func (s Sheet) Fill(at Scene, want Wanted) []ipp.Attribute {
	attrs := make([]ipp.Attribute, 0, len(s))
	words := at.words()
	for _, l := range s {
		if !want.Has(l.name) {
			continue
		}
		// Every line was filled in once when it was read.
		if a, err := l.attribute(words); err == nil {
			attrs = append(attrs, a)
		}
	}
	return attrs
}

// Wanted is what a requested-attributes names.
type Wanted struct {
	all, templates, description bool
	names                       map[string]bool
}

// Want reads a requested-attributes; without one, or and so also with an empty
// one, it is otherwise.
func Want(asked, otherwise []string) Wanted {
	if len(asked) == 0 {
		asked = otherwise
	}
	w := Wanted{}
	for _, name := range asked {
		switch name {
		case "all":
			w.all = true
		case "job-template":
			w.templates = true
		case "printer-description", "job-description":
			w.description = true
		default:
			if w.names == nil {
				w.names = make(map[string]bool, len(asked))
			}
			w.names[name] = true
		}
	}
	return w
}

// everything is what a printer tells whom nothing in particular interests.
var everything = []string{"all"}

// mediaDatabase is told only to those who name it: it is longer than all the
// rest (PWG 5100.7, and as CUPS does).
const mediaDatabase = "media-col-database"

// withMediaDatabase adds the media-col-database: each size from each source.
func (s Sheet) withMediaDatabase() Sheet {
	find := func(name string) []ipp.Value {
		for _, l := range s {
			if l.name == name {
				return l.fixed.Values
			}
		}
		return nil
	}
	var margins []ipp.Attribute
	for _, side := range []string{"bottom", "left", "right", "top"} {
		name := "media-" + side + "-margin"
		if all := find(name + "-supported"); len(all) > 0 {
			margins = append(margins, ipp.Attribute{Name: name, Values: all[len(all)-1:]})
		}
	}
	database := ipp.Attribute{Name: mediaDatabase}
	for _, size := range find("media-size-supported") {
		for _, source := range find("media-source-supported") {
			members := append([]ipp.Attribute{{Name: "media-size", Values: []ipp.Value{size}}}, margins...)
			members = append(members, ipp.Strings(ipp.TagKeyword, "media-source", source.Text()))
			database.Values = append(database.Values, ipp.Value{Tag: ipp.TagBegCollection, Members: members})
		}
	}
	if len(database.Values) == 0 {
		return s
	}
	return append(s, line{name: mediaDatabase, tag: ipp.TagBegCollection, fixed: database})
}

// Has reports whether the attribute is wanted.
func (w Wanted) Has(name string) bool {
	switch {
	case w.names[name]:
		return true
	case name == mediaDatabase:
		return false
	case w.all:
		return true
	case !w.templates && !w.description:
		return false
	}
	if template(name) {
		return w.templates
	}
	return w.description
}

// template reports whether a printer's attribute tells of a Job Template
// attribute (RFC 8011, section 5.2), or a job's is one.
func template(name string) bool {
	for _, end := range []string{"-default", "-supported", "-ready", "-database"} {
		if base, cut := strings.CutSuffix(name, end); cut {
			name = base
			break
		}
	}
	return templates[name]
}

var templates = map[string]bool{
	"copies": true, "finishings": true, "finishings-col": true, "finishing-template": true, "job-hold-until": true,
	"job-priority": true, "job-sheets": true, "media": true, "media-col": true, "media-bottom-margin": true,
	"media-left-margin": true, "media-right-margin": true, "media-top-margin": true, "media-size": true,
	"media-source": true, "media-type": true, "multiple-document-handling": true, "number-up": true,
	"number-up-layout": true, "orientation-requested": true, "output-bin": true, "page-delivery": true,
	"page-ranges": true, "print-color-mode": true, "print-content-optimize": true, "print-quality": true,
	"print-rendering-intent": true, "print-scaling": true, "printer-resolution": true, "sides": true, "job-cancel-after": true,
}
