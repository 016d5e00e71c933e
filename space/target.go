package space

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"unicode/utf8"

	"ippwatch/strict"
)

// The largest target list, as many as an IPv6 set may have, and the longest line.
const (
	maxTargets = maxAddrs6
	maxLine    = 64 << 10
)

// ParseTargets reads a list of targets: an address or a prefix on each line, as
// [Parse] reads them; empty lines and what follows a # are skipped. Errors name
// the list, line and column, up to twenty at once.
func ParseTargets(name string, r io.Reader) ([]netip.Prefix, error) {
	c := strict.File{Name: name}
	var all []netip.Prefix
	err := eachLine(name, r, func(number int, line string) bool {
		text, column := firstField(line)
		if text == "" {
			return true
		}
		switch p, err := Parse(text); {
		case err != nil:
			c.At(number, column, "%w", err)
		case len(all) == maxTargets:
			c.At(number, column, "more than %d targets: give prefixes", maxTargets)
			return false
		default:
			all = append(all, p)
		}
		return !c.Full()
	})
	if err != nil {
		c.Add(err)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	return all, nil
}

// firstField returns what stands on the line before a comment, without the
// spaces around it, and its column. Two words are one field, for the error to show.
func firstField(line string) (text string, column int) {
	line, _, _ = strings.Cut(line, "#")
	text = strings.TrimSpace(line)
	return text, columnOf(line, strings.Index(line, text))
}

// columnOf returns the column, in characters from 1, of the byte at the offset.
func columnOf(line string, offset int) int { return utf8.RuneCountInString(line[:offset]) + 1 }

// eachLine calls f with each line and its number from 1 until f returns false.
// A byte order mark before the first line and a CR at the end of a line, which
// editors on Windows leave, are not part of it.
func eachLine(name string, r io.Reader, f func(number int, line string) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	number := 0
	for lines.Scan() {
		number++
		line := lines.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if !f(number, line) {
			return nil
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("%s:%d:1: the line is longer than %d bytes", name, number+1, maxLine)
	case err != nil:
		return fmt.Errorf("read %s: line %d: %w", name, number+1, err)
	}
	return nil
}
