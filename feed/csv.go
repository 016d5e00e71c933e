package feed

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// A CSVReader reads rows that strangers filled. Unlike encoding/csv it loses no
// more than one line to a quote that does not end, and holds no more than
// [MaxRow] bytes however long that would take.
type CSVReader struct {
	r     *bufio.Reader
	comma byte
	line  int // of the next byte
	width int // fields of a row, once the header has told
	began bool
}

// A Record is one row as it was split. Its fields share the memory of Raw.
type Record struct {
	Line   int
	Fields []string
	Raw    string
	Broken string // why it could not be split
}

// NewBuffer returns a buffer from which a [Parser] can peek, and a [CSVReader]
// can hold a row.
func NewBuffer(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 2*MaxRow) }

// NewCSVReader reads from a buffer that [NewBuffer] made.
func NewCSVReader(r *bufio.Reader, comma byte) *CSVReader {
	return &CSVReader{r: r, comma: comma, line: 1}
}

var utf8BOM = []byte("\xef\xbb\xbf")

// Next returns the next row that is not empty; io.EOF is the end. Any other
// error is the reader's.
func (c *CSVReader) Next() (Record, error) {
	if !c.began {
		c.began = true
		if head, _ := c.r.Peek(len(utf8BOM)); bytes.Equal(head, utf8BOM) {
			_, _ = c.r.Discard(len(utf8BOM)) // it was peeked
		}
	}
	for {
		raw, lines, err := c.whole()
		if len(raw) == 0 {
			return Record{}, err
		}
		rec := Record{Line: c.line}
		text := strings.TrimRight(string(raw), "\r\n")
		var why string
		rec.Fields, why = split(text, c.comma)
		if why == "" && c.width > 0 && len(rec.Fields) != c.width && lines > 1 {
			why = "a quote does not end"
		}
		if why != "" && lines != 1 {
			// The quote that made it so long is the mistake of its first line alone.
			raw, lines = first(raw), 1
			text = strings.TrimRight(string(raw), "\r\n")
			if _, alone := split(text, c.comma); alone != "" {
				why = alone
			}
		}
		_, _ = c.r.Discard(len(raw)) // it was peeked
		c.line += lines
		rec.Raw = text
		if why != "" {
			rec.Fields, rec.Broken = nil, why
			if len(raw) > 0 && raw[len(raw)-1] != '\n' {
				c.skipLine()
			}
			return rec, nil
		}
		if strings.Trim(text, "\x00 \t") == "" {
			continue
		}
		return rec, nil
	}
}

// skipLine discards the rest of a line that is longer than a row may be.
func (c *CSVReader) skipLine() {
	for {
		_, err := c.r.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// first returns the first line of raw.
func first(raw []byte) []byte {
	if i := bytes.IndexByte(raw, '\n'); i >= 0 {
		return raw[:i+1]
	}
	return raw
}

// whole peeks at the next row: lines up to the first that leaves no quote open,
// or as much as there may be. No bytes and an error are the end.
func (c *CSVReader) whole() (raw []byte, lines int, err error) {
	end, quotes := 0, 0
	for window := max(c.r.Buffered(), 1); ; {
		buf, err := c.r.Peek(window)
		for {
			i := bytes.IndexByte(buf[end:], '\n')
			if i < 0 {
				break
			}
			quotes += bytes.Count(buf[end:end+i], []byte{'"'})
			end += i + 1
			lines++
			if quotes%2 == 0 || end > MaxRow {
				return buf[:end], lines, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF) && len(buf) > 0:
			return buf, lines + 1, nil
		case err != nil:
			return nil, 0, err
		case len(buf) >= MaxRow:
			return buf, lines + 1, nil
		}
		window = min(max(2*window, 4096, c.r.Buffered()), MaxRow)
	}
}

// split returns the fields of a row, or why there are none.
func split(text string, comma byte) (fields []string, broken string) {
	if len(text) >= MaxRow {
		return nil, "the row is too long"
	}
	fields = make([]string, 0, 40)
	for {
		var field string
		if strings.HasPrefix(text, `"`) {
			var why string
			if field, text, why = quoted(text[1:]); why != "" {
				return nil, why
			}
			if text != "" && text[0] != comma {
				return nil, "text follows a quoted value"
			}
		} else {
			i := strings.IndexByte(text, comma)
			if i < 0 {
				i = len(text)
			}
			field, text = text[:i], text[i:]
			if strings.IndexByte(field, '"') >= 0 {
				return nil, "a quote stands inside a bare value"
			}
		}
		if len(fields) == MaxColumns {
			return nil, "too many columns"
		}
		fields = append(fields, field)
		if text == "" {
			return fields, ""
		}
		text = text[1:]
	}
}

// quoted returns the value up to the closing quote, and what follows it.
func quoted(text string) (value, rest, broken string) {
	i := strings.IndexByte(text, '"')
	if i < 0 {
		return "", "", "a quote does not end"
	}
	if !strings.HasPrefix(text[i+1:], `"`) {
		return text[:i], text[i+1:], ""
	}
	var b strings.Builder
	for {
		b.WriteString(text[:i])
		text = text[i+1:]
		if !strings.HasPrefix(text, `"`) {
			return b.String(), text, ""
		}
		b.WriteByte('"')
		text = text[1:]
		if i = strings.IndexByte(text, '"'); i < 0 {
			return "", "", "a quote does not end"
		}
	}
}
