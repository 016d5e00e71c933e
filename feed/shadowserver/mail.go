package shadowserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ippwatch/feed"
)

// Bounds of one message.
const (
	maxMessage = 256 << 20
	maxDepth   = 8       // parts within parts
	maxParts   = 200     // of one message
	maxBody    = 1 << 20 // bytes of a text that are searched for links
	maxLinks   = 100
)

var (
	errMessage = errors.New("the message is too large")
	errParts   = errors.New("the message has too many parts")
)

// Mail opens the reports in a maildir or an mbox, one message after another.
// Anybody may write such a message: whoever feeds a mailbox to it has checked
// who sent what is in it.
type Mail struct {
	Files *feed.Files
	// Fetch opens what a link leads to; nil opens none.
	Fetch func(ctx context.Context, link string) (feed.Document, io.Closer, error)
	// Hosts are those whose links are followed.
	Hosts []string
	// Skip reports whether what the link leads to was taken in before.
	Skip func(link string) (bool, error)

	Messages int // that were read
	Skipped  int // links that were not followed, because of Skip
	Links    int // that were not followed, because there is no Fetch
}

// Open yields the reports in the mailbox at path.
func (m *Mail) Open(ctx context.Context, path string) iter.Seq2[feed.Document, error] {
	return func(yield func(feed.Document, error) bool) {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			yield(feed.Document{Name: path}, err)
		case info.IsDir():
			m.maildir(ctx, path, yield)
		default:
			m.mbox(ctx, path, yield)
		}
	}
}

// maildir reads cur and new; tmp holds what is still being delivered.
func (m *Mail) maildir(ctx context.Context, dir string, yield func(feed.Document, error) bool) {
	var found bool
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		if err != nil {
			yield(feed.Document{Name: dir}, err)
			return
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				yield(feed.Document{Name: dir}, err)
				return
			}
			if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			if !m.file(ctx, filepath.Join(dir, sub, e.Name()), yield) {
				return
			}
		}
	}
	if !found {
		yield(feed.Document{Name: dir}, fmt.Errorf("%s is no maildir: it has neither cur nor new", dir))
	}
}

func (m *Mail) file(ctx context.Context, name string, yield func(feed.Document, error) bool) bool {
	f, err := os.Open(name)
	if err != nil {
		return yield(feed.Document{Name: name}, err)
	}
	defer f.Close()
	return m.message(ctx, name, f, yield)
}

// mbox reads messages that follow a line "From " each (RFC 4155).
func (m *Mail) mbox(ctx context.Context, path string, yield func(feed.Document, error) bool) {
	f, err := os.Open(path)
	if err != nil {
		yield(feed.Document{Name: path}, err)
		return
	}
	defer f.Close()
	box := &mboxReader{r: bufio.NewReaderSize(f, 1<<16)}
	if !box.first() {
		yield(feed.Document{Name: path}, fmt.Errorf("%s is no mbox: it does not begin with \"From \"", path))
		return
	}
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			yield(feed.Document{Name: path}, err)
			return
		}
		if !m.message(ctx, fmt.Sprintf("%s#%d", path, n), box, yield) {
			return
		}
		more, err := box.next()
		if err != nil {
			yield(feed.Document{Name: path}, err)
			return
		}
		if !more {
			return
		}
	}
}

// An mboxReader reads one message, up to the next line that begins "From "
// after an empty one.
type mboxReader struct {
	r     *bufio.Reader
	rest  []byte
	empty bool // the line before was
	begun bool // the next byte begins a line
	done  bool // the message has ended
}

var fromLine = []byte("From ")

func (b *mboxReader) first() bool {
	head, _ := b.r.Peek(len(fromLine))
	if !bytes.Equal(head, fromLine) {
		return false
	}
	b.skipLine()
	return true
}

func (b *mboxReader) skipLine() {
	for {
		if _, err := b.r.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	b.begun, b.empty, b.done = true, false, false
}

func (b *mboxReader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.done {
			return 0, io.EOF
		}
		if b.begun && b.empty {
			if head, _ := b.r.Peek(len(fromLine)); bytes.Equal(head, fromLine) {
				b.done = true
				return 0, io.EOF
			}
		}
		line, err := b.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if len(line) == 0 {
				b.done = true
				return 0, err
			}
		}
		whole := bytes.HasSuffix(line, []byte("\n"))
		if b.begun {
			b.empty = len(bytes.TrimRight(line, "\r\n")) == 0
			if quoted := bytes.TrimLeft(line, ">"); len(quoted) < len(line) && bytes.HasPrefix(quoted, fromLine) {
				line = line[1:]
			}
		} else {
			b.empty = false
		}
		b.begun = whole
		b.rest = line
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next goes to the next message, and reports whether there is one.
func (b *mboxReader) next() (bool, error) {
	if _, err := io.Copy(io.Discard, b); err != nil {
		return false, err
	}
	head, err := b.r.Peek(len(fromLine))
	if !bytes.Equal(head, fromLine) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
	b.skipLine()
	return true, nil
}

// message yields the attachments of a message that are reports, and what its
// links lead to if it has none. A message without either is no report.
func (m *Mail) message(ctx context.Context, name string, r io.Reader, yield func(feed.Document, error) bool) bool {
	m.Messages++
	msg, err := mail.ReadMessage(bufio.NewReader(&limited{r: r, left: maxMessage}))
	if err != nil {
		return yield(feed.Document{Name: name}, fmt.Errorf("no message: %w", err))
	}
	w := &walk{mail: m, name: name, ref: headRef(msg.Header), yield: yield}
	err = w.part(fields(msg.Header), msg.Body, 0)
	switch {
	case w.stop:
		return false
	case err != nil:
		return yield(feed.Document{Name: name}, err)
	case w.attached:
		return true
	}
	for _, link := range w.links {
		if !m.follow(ctx, name, link, yield) {
			return false
		}
	}
	return true
}

// headRef names a message by its header, which has when and by whom it was
// delivered: its file changes its name when somebody reads it.
func headRef(h mail.Header) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		words = append(append(words, name), h[name]...)
	}
	return feed.Ref(words...)
}

// fields are the header of a message, or of a part of it.
type fields map[string][]string

func (h fields) get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// A walk goes through the parts of one message.
type walk struct {
	mail     *Mail
	name     string
	ref      string // of the message
	yield    func(feed.Document, error) bool
	parts    int
	attached bool     // a report was
	links    []string // to reports
	stop     bool
}

func (w *walk) part(h fields, body io.Reader, depth int) error {
	if w.parts++; w.parts > maxParts || depth > maxDepth {
		return errParts
	}
	kind, params, err := mime.ParseMediaType(h.get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		parts := multipart.NewReader(body, params["boundary"])
		for !w.stop {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("parts of the message: %w", err)
			}
			if err := w.part(fields(p.Header), p, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	body = decoded(h.get("Content-Transfer-Encoding"), body)
	file := attachment(h, params)
	lower := strings.ToLower(file)
	switch {
	case strings.HasSuffix(lower, ".csv"), strings.HasSuffix(lower, ".csv.gz"), strings.HasSuffix(lower, ".zip"):
		w.attached = true
		ref := feed.Ref("mail", w.ref, strconv.Itoa(w.parts), file)
		w.stop = !w.mail.Files.Reader(w.name+"/"+file, ref, body, w.yield)
	case strings.HasPrefix(kind, "text/"):
		text, err := io.ReadAll(io.LimitReader(body, maxBody))
		if err != nil {
			return fmt.Errorf("text of the message: %w", err)
		}
		w.find(string(text))
	}
	return nil
}

// attachment returns the name of an attached file, without any directory.
func attachment(h fields, params map[string]string) string {
	name := params["name"]
	if _, disposition, err := mime.ParseMediaType(h.get("Content-Disposition")); err == nil && disposition["filename"] != "" {
		name = disposition["filename"]
	}
	if plain, err := new(mime.WordDecoder).DecodeHeader(name); err == nil {
		name = plain
	}
	name = strings.ReplaceAll(name, `\`, "/")
	return feed.Clip(name[strings.LastIndexByte(name, '/')+1:], 200)
}

func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}

// linkPattern is a capability URL in a text: whoever has it has the report.
var linkPattern = regexp.MustCompile(`https?://[A-Za-z0-9.:\[\]-]+/[?A-Za-z0-9_/-]+`)

func (w *walk) find(text string) {
	for _, link := range linkPattern.FindAllString(text, -1) {
		if len(w.links) < maxLinks && w.mail.allowed(link) && !slices.Contains(w.links, link) {
			w.links = append(w.links, link)
		}
	}
}

func (m *Mail) allowed(link string) bool {
	_, rest, _ := strings.Cut(link, "://")
	host, _, _ := strings.Cut(rest, "/")
	return slices.Contains(m.Hosts, strings.ToLower(host))
}

func (m *Mail) follow(ctx context.Context, name, link string, yield func(feed.Document, error) bool) bool {
	if m.Fetch == nil {
		m.Links++
		return true
	}
	if m.Skip != nil {
		skip, err := m.Skip(link)
		if err != nil {
			return yield(feed.Document{Name: name}, err)
		}
		if skip {
			m.Skipped++
			return true
		}
	}
	doc, body, err := m.Fetch(ctx, link)
	if err != nil {
		return yield(feed.Document{Name: name}, err)
	}
	defer body.Close()
	return m.Files.Reader(name+"/"+doc.Name, "", doc.Reader, func(inner feed.Document, err error) bool {
		if inner.Name == name+"/"+doc.Name { // a zip is done when all that is in it is: it comes again
			inner.Ref = doc.Ref
		}
		return yield(inner, err)
	})
}

// A limited reader fails where io.LimitReader would end.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errMessage
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
