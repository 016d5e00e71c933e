//go:build ignore

// Gen_world derives world.json and world.LICENSE.txt from world-atlas (ISC) and
// i18n-iso-countries (MIT):
//
//	npm pack world-atlas@2.0.2 i18n-iso-countries@7.14.0 && unpack both
//	go run gen_world.go WORLD_ATLAS_DIRECTORY I18N_DIRECTORY
//
// Shapes are those of 1:110m, drawn in the Equal Earth projection; countries that
// are too small for them get the middle of their shape of 1:50m.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: go run gen_world.go WORLD_ATLAS_DIRECTORY I18N_DIRECTORY")
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

type country struct {
	Code string            `json:"code,omitempty"`
	Name map[string]string `json:"name,omitempty"`
	Path string            `json:"path,omitempty"`
	X    int               `json:"x,omitempty"` // of its middle
	Y    int               `json:"y,omitempty"`
}

type topology struct {
	Arcs      [][][2]int
	Transform struct{ Scale, Translate [2]float64 }
	Objects   struct {
		Countries struct {
			Geometries []struct {
				Type       string
				ID         string
				Properties struct{ Name string }
				Arcs       json.RawMessage
			}
		}
	}
}

func generate(atlas, names string) error {
	var codes [][]string
	if err := read(filepath.Join(names, "codes.json"), &codes); err != nil {
		return err
	}
	all := make(map[string]*country)
	byNumber := map[string]string{}
	for _, c := range codes {
		all[c[0]] = &country{Code: c[0], Name: make(map[string]string)}
		byNumber[c[2]] = c[0]
	}
	for _, lang := range []string{"en", "de"} {
		var l struct{ Countries map[string]any }
		if err := read(filepath.Join(names, "langs", lang+".json"), &l); err != nil {
			return err
		}
		for code, v := range l.Countries {
			name, ok := v.(string)
			if list, many := v.([]any); many {
				for _, one := range list {
					if s := one.(string); !ok || len(s) < len(name) && len(s) > 3 {
						name, ok = s, true
					}
				}
			}
			if c := all[code]; c != nil {
				c.Name[lang] = name
			}
		}
	}
	// What people say.
	all["US"].Name["en"], all["GB"].Name["en"], all["GB"].Name["de"] = "United States", "United Kingdom", "Vereinigtes Königreich"
	var land []*country
	for _, scale := range []string{"110m", "50m"} {
		var t topology
		if err := read(filepath.Join(atlas, "countries-"+scale+".json"), &t); err != nil {
			return err
		}
		for _, g := range t.Objects.Countries.Geometries {
			code := byNumber[g.ID]
			if g.Properties.Name == "Kosovo" {
				code = "XK"
			}
			if code == "AQ" {
				continue
			}
			polygons, err := t.polygons(g.Type, g.Arcs)
			if err != nil {
				return fmt.Errorf("%s: %w", g.Properties.Name, err)
			}
			c := all[code]
			if c == nil {
				if scale == "50m" {
					continue
				}
				c = &country{}
				land = append(land, c)
			}
			if c.Path != "" || c.X != 0 {
				continue
			}
			var path string
			path, c.X, c.Y = draw(polygons)
			if scale == "110m" {
				c.Path = path
			}
		}
	}
	for _, c := range all {
		land = append(land, c)
	}
	slices.SortFunc(land, func(a, b *country) int { return strings.Compare(a.Code+a.Path, b.Code+b.Path) })
	body, err := json.Marshal(land)
	if err != nil {
		return err
	}
	var license strings.Builder
	for _, dir := range []string{atlas, names} {
		text, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
		if err != nil {
			return err
		}
		var pkg struct{ Name, Version, License string }
		if err := read(filepath.Join(dir, "package.json"), &pkg); err != nil {
			return err
		}
		fmt.Fprintf(&license, "world.json is derived from %s %s (%s):\n\n%s\n\n", pkg.Name, pkg.Version, pkg.License, strings.TrimSpace(string(text)))
	}
	license.WriteString("The shapes of world-atlas are those of Natural Earth, which is in the public domain.\n")
	return errors.Join(os.WriteFile("world.json", append(body, '\n'), 0o644), os.WriteFile("world.LICENSE.txt", []byte(license.String()), 0o644))
}

func read(file string, to any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, to); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (t *topology) polygons(kind string, raw json.RawMessage) ([][][2]float64, error) {
	var rings [][]int
	switch kind {
	case "Polygon":
		if err := json.Unmarshal(raw, &rings); err != nil {
			return nil, err
		}
	case "MultiPolygon":
		var many [][][]int
		if err := json.Unmarshal(raw, &many); err != nil {
			return nil, err
		}
		for _, one := range many {
			rings = append(rings, one...)
		}
	default:
		return nil, fmt.Errorf("a %s", kind)
	}
	var out [][][2]float64
	for _, ring := range rings {
		var points [][2]float64
		for _, arc := range ring {
			back := arc < 0
			if back {
				arc = ^arc
			}
			var line [][2]float64
			x, y := 0, 0
			for _, d := range t.Arcs[arc] {
				x, y = x+d[0], y+d[1]
				line = append(line, [2]float64{
					float64(x)*t.Transform.Scale[0] + t.Transform.Translate[0],
					float64(y)*t.Transform.Scale[1] + t.Transform.Translate[1],
				})
			}
			if back {
				slices.Reverse(line)
			}
			points = append(points, line...)
		}
		out = append(out, within(points)...)
	}
	return out, nil
}

// within cuts a ring at the 180th meridian: world-atlas has it whole, as it is on
// a sphere.
func within(ring [][2]float64) [][][2]float64 {
	turn := 0.0
	for i := range ring {
		if i > 0 {
			switch d := ring[i][0] + turn - ring[i-1][0]; {
			case d > 180:
				turn -= 360
			case d < -180:
				turn += 360
			}
		}
		ring[i][0] += turn
	}
	var out [][][2]float64
	for _, shift := range []float64{-360, 0, 360} {
		part := make([][2]float64, len(ring))
		for i, p := range ring {
			part[i] = [2]float64{p[0] + shift, p[1]}
		}
		part = clip(part, 180, 1)
		part = clip(part, -180, -1)
		if len(part) > 2 {
			out = append(out, part)
		}
	}
	return out
}

// clip keeps what is on this side of a meridian (Sutherland and Hodgman).
func clip(ring [][2]float64, at, side float64) [][2]float64 {
	var out [][2]float64
	for i, p := range ring {
		q := ring[(i+1)%len(ring)]
		in, next := (at-p[0])*side >= 0, (at-q[0])*side >= 0
		if in {
			out = append(out, p)
		}
		if in != next {
			t := (at - p[0]) / (q[0] - p[0])
			out = append(out, [2]float64{at, p[1] + t*(q[1]-p[1])})
		}
	}
	return out
}

// width is that of the whole map.
const width = 2000

// project is Equal Earth (Šavrič, Patterson, Jenny 2018), scaled to the width;
// north of 84° and south of 57° is no land of this map.
func project(lon, lat float64) (float64, float64) {
	const a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
	l := lon * math.Pi / 180
	th := math.Asin(math.Sqrt(3) / 2 * math.Sin(lat*math.Pi/180))
	t2 := th * th
	t6 := t2 * t2 * t2
	x := 2 * math.Sqrt(3) * l * math.Cos(th) / (3 * (9*a4*t6*t2 + 7*a3*t6 + 3*a2*t2 + a1))
	y := th * (a4*t6*t2 + a3*t6 + a2*t2 + a1)
	const half = 2.7066299836 // x at the equator, 180° east
	return width/2 + x/half*width/2, 470 - y/half*width/2
}

// draw returns the polygons as a path of whole numbers, and the middle of the
// largest one.
func draw(polygons [][][2]float64) (path string, mx, my int) {
	var b strings.Builder
	var most float64
	for _, p := range polygons {
		var xs, ys []int
		var area, cx, cy float64
		for i, point := range p {
			x, y := project(point[0], point[1])
			nx, ny := project(p[(i+1)%len(p)][0], p[(i+1)%len(p)][1])
			cross := x*ny - nx*y
			area, cx, cy = area+cross, cx+(x+nx)*cross, cy+(y+ny)*cross
			ix, iy := int(math.Round(x)), int(math.Round(y))
			if n := len(xs); n > 0 && xs[n-1] == ix && ys[n-1] == iy {
				continue
			}
			xs, ys = append(xs, ix), append(ys, iy)
		}
		if math.Abs(area) > most {
			most = math.Abs(area)
			mx, my = int(math.Round(cx/(3*area))), int(math.Round(cy/(3*area)))
		}
		if len(xs) < 4 && len(polygons) > 1 {
			continue
		}
		b.WriteString("M" + strconv.Itoa(xs[0]) + " " + strconv.Itoa(ys[0]) + "l")
		for i := 1; i < len(xs)-1; i++ {
			if i > 1 {
				b.WriteByte(' ')
			}
			b.WriteString(strconv.Itoa(xs[i]-xs[i-1]) + " " + strconv.Itoa(ys[i]-ys[i-1]))
		}
		b.WriteByte('z')
	}
	return b.String(), mx, my
}
