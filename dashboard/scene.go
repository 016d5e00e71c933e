package dashboard

import (
	"bytes"
	"html/template"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Scene is a drawing: the same items become the SVG of a page, the SVG of a
// file and the pixels of a PNG. Colours stand at the items and are those of a
// light page; the style sheet puts others over the classes.
type Scene struct {
	W, H  float64
	Title string
	Items []Item
	File  bool // stands alone
	Zoom  bool // may be zoomed into
	// Legend is what the drawing itself has in its corner, for screens on which
	// that is too small.
	Legend []Swatch
}

// A Swatch is a colour and what it stands for.
type Swatch struct{ Class, Fill, Text string }

// An Item is one thing that is drawn. Its numbers are in the scene's units.
type Item struct {
	Kind    string // rect, circle, line, path, text
	Class   string
	Fill    string // empty: none
	Stroke  string
	Width   float64 // of the stroke
	Dash    bool
	X, Y    float64 // of the upper left corner, the middle, the beginning
	X2, Y2  float64 // of a line's end
	W, H, R float64
	D       string  // of a path: M, L, l, z alone
	Scale   float64 // of a path, about X and Y; 0: 1
	Text    string
	Size    float64
	Anchor  string // start, middle, end
	Bold    bool
	Href    string
	Tip     string // shown when pointed at
	Opacity float64
}

// num writes a coordinate in few digits.
func num(v float64) string {
	s := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

func (s *Scene) add(i Item) { s.Items = append(s.Items, i) }

func (s *Scene) rect(class, fill string, x, y, w, h float64) *Item {
	s.add(Item{Kind: "rect", Class: class, Fill: fill, X: x, Y: y, W: max(w, 0), H: max(h, 0)})
	return &s.Items[len(s.Items)-1]
}

func (s *Scene) line(class, stroke string, x, y, x2, y2 float64) *Item {
	s.add(Item{Kind: "line", Class: class, Stroke: stroke, X: x, Y: y, X2: x2, Y2: y2, Width: 1})
	return &s.Items[len(s.Items)-1]
}

func (s *Scene) text(class, fill string, x, y, size float64, anchor, text string) *Item {
	s.add(Item{Kind: "text", Class: class, Fill: fill, X: x, Y: y, Size: size, Anchor: anchor, Text: printable(text)})
	return &s.Items[len(s.Items)-1]
}

func (s *Scene) path(class, fill, stroke string, width float64, d string) *Item {
	s.add(Item{Kind: "path", Class: class, Fill: fill, Stroke: stroke, Width: width, D: d})
	return &s.Items[len(s.Items)-1]
}

// printable is a text without what turns lines around or is no character in XML.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r < ' ', r >= 0x7f && r < 0xa0, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f,
			r == 0xfeff, r == 0xfffe, r == 0xffff:
			return '\uFFFD'
		}
		return r
	}, s)
}

// textWidth is about how wide a text is.
func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case r >= 0x1100:
			w++
		case strings.ContainsRune("ijl.,:;'|! ", r):
			w += .3
		case r >= 'A' && r <= 'Z', r == 'm', r == 'w':
			w += .7
		default:
			w += .56
		}
	}
	return w * size
}

// cut shortens a text to a width.
func cut(s string, size, width float64) string {
	if textWidth(s, size) <= width {
		return s
	}
	for s != "" {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
		if textWidth(s+"…", size) <= width {
			return strings.TrimRight(s, " ") + "…"
		}
	}
	return ""
}

// svg writes a scene as a file of its own, by the template of the pages.
func (d *door) svg(s *Scene) ([]byte, error) {
	alone := *s
	alone.File, alone.Zoom = true, false
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	if err := d.drawing.ExecuteTemplate(&b, "scene", &alone); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func readDrawing() (*template.Template, error) {
	return template.ParseFS(files, "pages/_scene.html")
}

// Num is for the template.
func (Item) Num(v float64) string { return num(v) }

// Num is for the template.
func (*Scene) Num(v float64) string { return num(v) }

// Move is where a path stands, and how large.
func (i Item) Move() string {
	if i.Scale == 0 && i.X == 0 && i.Y == 0 {
		return ""
	}
	s := "translate(" + num(i.X) + " " + num(i.Y) + ")"
	if i.Scale != 0 && i.Scale != 1 {
		s += " scale(" + strconv.FormatFloat(i.Scale, 'g', 4, 64) + ")"
	}
	return s
}

// Weight makes a text bold.
func (i Item) Weight() string {
	if i.Bold {
		return "600"
	}
	return ""
}
