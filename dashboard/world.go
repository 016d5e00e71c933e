package dashboard

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

//go:generate go run gen_world.go WORLD_ATLAS_DIRECTORY I18N_DIRECTORY

//go:embed world.json
var worldJSON []byte

// A land is a country as it is drawn and called.
type land struct {
	Code string            `json:"code"` // empty: no country of ISO 3166-1
	Name map[string]string `json:"name"`
	Path string            `json:"path"` // moves and lines of whole numbers
	X    int               `json:"x"`    // its middle
	Y    int               `json:"y"`
}

// The map's bounds, in the numbers of world.json.
const worldWidth, worldHeight = 2000, 845

// unknownLand is where hosts stand whose country is not known; the codes from XA
// on are the users', and ZZ is usual for this.
const unknownLand = "ZZ"

// A world is all lands.
type world struct {
	lands  []land
	byCode map[string]*land
}

func readWorld() (*world, error) {
	w := &world{byCode: make(map[string]*land)}
	if err := json.Unmarshal(worldJSON, &w.lands); err != nil {
		return nil, fmt.Errorf("read world.json: %w", err)
	}
	for i := range w.lands {
		if l := &w.lands[i]; l.Code != "" {
			w.byCode[l.Code] = l
		}
	}
	return w, nil
}

// name is what a country is called; a code that nobody knows is its own name.
func (w *world) name(code, lang string) string {
	l := w.byCode[code]
	if l == nil {
		return code
	}
	if n := l.Name[lang]; n != "" {
		return n
	}
	if n := l.Name["en"]; n != "" {
		return n
	}
	return code
}

// codes are all that can be asked for, in the order of their names.
func (w *world) codes(lang string) []string {
	var all []string
	for code := range w.byCode {
		all = append(all, code)
	}
	slices.SortFunc(all, func(a, b string) int {
		return strings.Compare(strings.ToLower(w.name(a, lang)), strings.ToLower(w.name(b, lang)))
	})
	return all
}
