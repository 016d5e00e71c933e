package screen

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A Bar shows how far a scan is: one line that is redrawn on a terminal, a plain
// line every ten seconds elsewhere.
type Bar struct {
	s     *Screen
	last  time.Time
	drawn bool
}

// A Progress is how far a scan is, in targets.
type Progress struct {
	At, Started time.Time
	Total       uint64
	Sent        uint64
	Finished    uint64
	Answered    uint64
	Found       uint64
	Skipped     uint64 // excluded; not among Sent
	Paused      bool
}

// Bar returns a bar that nobody sees yet.
func (s *Screen) Bar() *Bar { return &Bar{s: s} }

const plainEvery = 10 * time.Second

// Show draws the bar anew, or writes the next line if it is time.
func (b *Bar) Show(p Progress) {
	if b.s.Quiet {
		return
	}
	if b.s.ErrTerminal {
		fmt.Fprintf(b.s.Err, "\r\x1b[K%s", fit(p, b.s.columns()))
		b.drawn = true
		return
	}
	if p.At.Sub(b.last) >= plainEvery && p.At.Sub(p.Started) >= plainEvery {
		b.last = p.At
		fmt.Fprintf(b.s.Err, "progress: %s\n", describe(p))
	}
}

// End removes the bar, so that what follows starts on a clean line.
func (b *Bar) End() {
	if b.drawn {
		fmt.Fprint(b.s.Err, "\r\x1b[K")
		b.drawn = false
	}
}

// fit is the line for a terminal: one that is broken over two cannot be redrawn,
// so the bar gives way to the words.
func fit(p Progress, columns int) string {
	const widest, narrowest = 24, 6
	text := describe(p)
	room := columns - 1
	if width := min(widest, room-len(text)-len("[] ")); width >= narrowest {
		return bar(p, width) + " " + text
	}
	return Clip(text, max(room, 1))
}

// columns is how wide the terminal on stderr is.
func (s *Screen) columns() int {
	if file, ok := s.Err.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

func bar(p Progress, width int) string {
	full := 0
	if p.Total > 0 {
		full = int(min(p.Sent+p.Skipped, p.Total) * uint64(width) / p.Total)
	}
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}

func describe(p Progress) string {
	elapsed := p.At.Sub(p.Started).Seconds()
	rate, left := 0.0, "?"
	if elapsed > 0 {
		rate = float64(p.Finished) / elapsed
	}
	if rate > 0 && p.Total >= p.Finished {
		left = (time.Duration(float64(p.Total-p.Finished)/rate) * time.Second).Round(time.Second).String()
	}
	percent := 100.0
	if p.Total > 0 {
		percent = 100 * float64(p.Sent+p.Skipped) / float64(p.Total)
	}
	text := fmt.Sprintf("%.0f%% sent %d of %d, answered %d, found %d, ", percent, p.Sent, p.Total, p.Answered, p.Found)
	switch {
	case p.Sent+p.Skipped >= p.Total && p.Finished < p.Total:
		text += fmt.Sprintf("waiting for %d", p.Total-p.Finished)
	case p.Paused: // how long is left, nobody knows
		text += "PAUSED (ippwatch pause --off)"
	default:
		text += fmt.Sprintf("%.0f/s, %s left", rate, left)
	}
	if p.Skipped > 0 {
		text += fmt.Sprintf(", %d excluded", p.Skipped)
	}
	return text
}
