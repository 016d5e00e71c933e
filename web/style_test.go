package web

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	colourSet = regexp.MustCompile(`(?s)(:root[^{]*)\{([^}]*)\}`)
	colour    = regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)
)

// luminance is relative luminance (WCAG 2.2).
func luminance(hex string) float64 {
	var l float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			panic(err) // the pattern lets through digits alone
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}

func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast measures every pair that pages use, in each set of colours: 4.5
// for text (WCAG 2.2, 1.4.3), 3 for edges and marks (1.4.11).
func TestContrast(t *testing.T) {
	css, err := own.ReadFile("assets/ippwatch.css")
	if err != nil {
		t.Fatal(err)
	}
	sets := 0
	for _, m := range colourSet.FindAllStringSubmatch(string(css), -1) {
		colours := make(map[string]string)
		for _, c := range colour.FindAllStringSubmatch(m[2], -1) {
			colours[c[1]] = c[2]
		}
		if len(colours) == 0 {
			continue
		}
		sets++
		check := func(least float64, ink string, grounds ...string) {
			for _, ground := range grounds {
				if got := contrast(colours[ink], colours[ground]); got < least {
					t.Errorf("%s: %s on %s has %.2f, want %.1f", strings.TrimSpace(m[1]), ink, ground, got, least)
				}
			}
		}
		for _, name := range []string{
			"ground", "card", "ink", "soft", "line", "edge", "link", "accent", "on-accent", "focus", "good", "good-ground", "bad", "bad-ground",
			"critical", "high", "medium", "low", "info", "on-badge", "track",
		} {
			if colours[name] == "" {
				t.Fatalf("%s has no --%s", strings.TrimSpace(m[1]), name)
			}
		}
		check(4.5, "ink", "ground", "card")
		check(4.5, "soft", "ground", "card")
		check(4.5, "link", "ground", "card")
		check(4.5, "on-accent", "accent")
		check(4.5, "good", "good-ground", "card")
		check(4.5, "bad", "bad-ground", "card")
		for _, badge := range []string{"critical", "high", "medium", "low", "info"} {
			check(4.5, "on-badge", badge)
			check(3, badge, "card", "ground")
		}
		check(3, "edge", "card", "ground")
		check(3, "focus", "card", "ground")
		check(3, "accent", "track", "card")
	}
	if sets != 3 {
		t.Errorf("%d sets of colours, want light, dark by the system, dark by choice", sets)
	}
}
