package dashboard

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strconv"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// sharp is how many pixels a PNG has for each unit of the scene.
const sharp = 2

// mostPixels bounds one side of a PNG.
const mostPixels = 8000

// A canvas draws scenes into pixels.
type canvas struct {
	img   *image.RGBA
	k     float64 // pixels a unit
	faces map[[2]int]font.Face
}

var fonts = sync.OnceValues(func() ([2]*opentype.Font, error) {
	var f [2]*opentype.Font
	for i, ttf := range [][]byte{goregular.TTF, gobold.TTF} {
		var err error
		if f[i], err = opentype.Parse(ttf); err != nil {
			return f, fmt.Errorf("read font: %w", err)
		}
	}
	return f, nil
})

// pixels writes a scene as PNG.
func (s *Scene) pixels() ([]byte, error) {
	k := min(sharp, mostPixels/max(s.W, s.H))
	c := &canvas{img: image.NewRGBA(image.Rect(0, 0, int(math.Ceil(s.W*k)), int(math.Ceil(s.H*k)))), k: k, faces: make(map[[2]int]font.Face)}
	draw.Draw(c.img, c.img.Bounds(), image.White, image.Point{}, draw.Src)
	for i := range s.Items {
		if err := c.item(&s.Items[i]); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, c.img); err != nil {
		return nil, fmt.Errorf("write PNG: %w", err)
	}
	return b.Bytes(), nil
}

type point struct{ x, y float64 }

func (c *canvas) item(i *Item) error {
	switch i.Kind {
	case "rect":
		ring := []point{{i.X, i.Y}, {i.X + i.W, i.Y}, {i.X + i.W, i.Y + i.H}, {i.X, i.Y + i.H}}
		c.shape(i, [][]point{ring}, true)
	case "circle":
		c.shape(i, [][]point{round(point{i.X, i.Y}, i.R, 24)}, true)
	case "line":
		c.shape(i, [][]point{{{i.X, i.Y}, {i.X2, i.Y2}}}, false)
	case "path":
		rings, closed := rings(i)
		c.shape(i, rings, closed)
	case "text":
		return c.write(i)
	}
	return nil
}

// rings reads the path of an item.
func rings(i *Item) (all [][]point, closed bool) {
	scale := i.Scale
	if scale == 0 {
		scale = 1
	}
	var at, begin point
	var ring []point
	var numbers []float64
	cmd := byte(0)
	end := func() {
		if len(ring) > 1 {
			all = append(all, ring)
		}
		ring = nil
	}
	step := func() {
		if len(numbers) < 2 {
			return
		}
		p := point{numbers[0], numbers[1]}
		numbers = numbers[:0]
		if cmd == 'l' {
			p = point{at.x + p.x, at.y + p.y}
		}
		if cmd == 'M' {
			end()
			begin = p
		}
		at = p
		ring = append(ring, point{i.X + p.x*scale, i.Y + p.y*scale})
	}
	for j := 0; j < len(i.D); {
		switch ch := i.D[j]; ch {
		case 'M', 'L', 'l':
			cmd = ch
			j++
		case 'z', 'Z':
			closed, at = true, begin
			end()
			j++
		case ' ', ',':
			j++
		default:
			from := j
			for j++; j < len(i.D) && (i.D[j] >= '0' && i.D[j] <= '9' || i.D[j] == '.'); {
				j++
			}
			v, err := strconv.ParseFloat(i.D[from:j], 64)
			if err != nil {
				return all, closed
			}
			numbers = append(numbers, v)
			step()
		}
	}
	end()
	return all, closed
}

// round is a circle with n corners.
func round(m point, r float64, n int) []point {
	ring := make([]point, n)
	for i := range ring {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		ring[i] = point{m.x + r*cos, m.y + r*sin}
	}
	return ring
}

func (c *canvas) shape(i *Item, rings [][]point, closed bool) {
	if fill, ok := colour(i.Fill, i.Opacity); ok && closed {
		c.fill(fill, rings)
	}
	stroke, ok := colour(i.Stroke, 0)
	if !ok || i.Width == 0 {
		return
	}
	var parts [][]point
	for _, ring := range rings {
		if closed {
			ring = append(ring[:len(ring):len(ring)], ring[0])
		}
		for j := 1; j < len(ring); j++ {
			parts = append(parts, c.stroke(ring[j-1], ring[j], i.Width, i.Dash)...)
			if !i.Dash {
				parts = append(parts, round(ring[j], i.Width/2, 8))
			}
		}
	}
	c.fill(stroke, parts)
}

// stroke is a line as areas; all turn the same way, so that none takes from another.
func (c *canvas) stroke(a, b point, width float64, dash bool) [][]point {
	dx, dy := b.x-a.x, b.y-a.y
	length := math.Hypot(dx, dy)
	if length == 0 {
		return nil
	}
	dx, dy = dx/length, dy/length
	nx, ny := dy*width/2, -dx*width/2
	quad := func(from, to float64) []point {
		p, q := point{a.x + dx*from, a.y + dy*from}, point{a.x + dx*to, a.y + dy*to}
		return []point{{p.x + nx, p.y + ny}, {q.x + nx, q.y + ny}, {q.x - nx, q.y - ny}, {p.x - nx, p.y - ny}}
	}
	if !dash {
		return [][]point{quad(0, length)}
	}
	var out [][]point
	for at := 0.0; at < length; at += 7 {
		out = append(out, quad(at, min(at+4, length)))
	}
	return out
}

func (c *canvas) fill(col color.Color, rings [][]point) {
	if len(rings) == 0 {
		return
	}
	lo, hi := point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, ring := range rings {
		for _, p := range ring {
			lo, hi = point{min(lo.x, p.x), min(lo.y, p.y)}, point{max(hi.x, p.x), max(hi.y, p.y)}
		}
	}
	area := image.Rect(int(math.Floor(lo.x*c.k)), int(math.Floor(lo.y*c.k)), int(math.Ceil(hi.x*c.k)), int(math.Ceil(hi.y*c.k))).Intersect(c.img.Bounds())
	if area.Empty() {
		return
	}
	z := vector.NewRasterizer(area.Dx(), area.Dy())
	at := func(p point) (float32, float32) {
		return float32(p.x*c.k) - float32(area.Min.X), float32(p.y*c.k) - float32(area.Min.Y)
	}
	for _, ring := range rings {
		for j, p := range ring {
			x, y := at(p)
			if j == 0 {
				z.MoveTo(x, y)
			} else {
				z.LineTo(x, y)
			}
		}
		z.ClosePath()
	}
	z.Draw(c.img, area, image.NewUniform(col), image.Point{})
}

func (c *canvas) write(i *Item) error {
	col, ok := colour(i.Fill, 0)
	if !ok {
		return nil
	}
	face, err := c.face(i.Size, i.Bold)
	if err != nil {
		return err
	}
	d := font.Drawer{Dst: c.img, Src: image.NewUniform(col), Face: face}
	x := i.X * c.k
	switch w := float64(d.MeasureString(i.Text)) / 64; i.Anchor {
	case "middle":
		x -= w / 2
	case "end":
		x -= w
	}
	d.Dot = fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(i.Y * c.k * 64)}
	d.DrawString(i.Text)
	return nil
}

func (c *canvas) face(size float64, bold bool) (font.Face, error) {
	key := [2]int{int(size * c.k * 8)}
	if bold {
		key[1] = 1
	}
	if f, ok := c.faces[key]; ok {
		return f, nil
	}
	all, err := fonts()
	if err != nil {
		return nil, err
	}
	f, err := opentype.NewFace(all[key[1]], &opentype.FaceOptions{Size: size * c.k, DPI: 72, Hinting: font.HintingNone})
	if err == nil {
		c.faces[key] = f
	}
	return f, err
}

// colour reads #rrggbb.
func colour(s string, opacity float64) (color.Color, bool) {
	if len(s) != 7 || s[0] != '#' {
		return nil, false
	}
	v, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return nil, false
	}
	c := color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}
	if opacity > 0 {
		c.A = uint8(255 * opacity)
	}
	return c, c.A > 0
}
