package read

import (
	"slices"
	"strings"
)

// harmlessInPolicy begin the statements of a policy-map that shapes and marks: it
// may drop packets when there are too many, and none for its port.
var harmlessInPolicy = []string{
	"class", "bandwidth", "priority", "shape", "set", "fair-queue", "queue-limit", "queue-buffers", "random-detect", "description", "police",
	"conform-action", "exceed-action", "violate-action", "conform-color", "exceed-color", "exit", "end-policy-map", "account",
}

// servicePolicy says why a policy-map at the interface may filter; nothing when
// it does not. It can let nothing pass that a list drops; a class of it that
// drops may lock out somebody whom the policy excepts.
func (r *ciscoReader) servicePolicy(words []string) string {
	if len(words) > 1 && words[1] == "type" { // EOS: service-policy type qos input NAME
		if len(words) != 5 || words[2] != "qos" && words[2] != "quality-of-service" {
			return "may filter or redirect: " + strings.Join(words[:min(3, len(words))], " ")
		}
		words = words[2:]
	}
	if len(words) != 3 || words[1] != "input" && words[1] != "output" {
		return "a policy is bound in a way that is not understood"
	}
	return r.policy(words[2], nil)
}

func (r *ciscoReader) policy(name string, above []string) string {
	list := r.policies[name]
	why, judged := r.judged[name]
	switch {
	case judged:
		return why
	case list == nil:
		return "the policy-map is not in the text: it may filter"
	case slices.Contains(above, name), len(above) > mostNested:
		return "the policy-map leads back to itself"
	}
	for _, l := range list.lines {
		words := strings.Fields(l.text)
		switch {
		case words[0] == "service-policy" && len(words) == 2:
			why = r.policy(words[1], append(above, name))
		case !slices.Contains(harmlessInPolicy, words[0]), dropsAll(words):
			why = "the policy-map may filter: " + l.text
		}
		if why != "" {
			break
		}
	}
	r.judged[name] = why
	return why
}

// dropsAll reports whether a policer drops also what conforms.
func dropsAll(words []string) bool {
	i := slices.Index(words, "conform-action")
	return i >= 0 && i+1 < len(words) && words[i+1] == "drop"
}
