package advisory

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/goccy/go-yaml"

	"ippwatch/rule"
)

//go:embed sentences
var sentences embed.FS

// Pages are what the rules say in a language, for pages that say it, too: of each
// rule rule.ID, rule.ID.about, rule.ID.owner, rule.ID.provider and rule.ID.csirt,
// and what its findings mean (package phrase). So what a mail calls a rule and what
// a page calls it is one text.
func (t *Texts) Pages(l Language) (map[string]string, error) {
	all := make(map[string]string)
	for _, r := range rule.All {
		w := t.rules[l][r.ID]
		key := "rule." + r.ID
		all[key], all[key+".about"] = w.Title, w.About
		all[key+".owner"], all[key+".provider"], all[key+".csirt"] = w.Owner, w.Provider, w.CSIRT
	}
	name := "sentences/" + string(l) + ".yaml"
	b, err := sentences.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil // they stay English
	}
	if err != nil {
		return nil, err
	}
	var said map[string]string
	if err := yaml.UnmarshalWithOptions(b, &said, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	maps.Copy(all, said)
	return all, nil
}
