package grab

import "strings"

// title returns the title of an HTML page, which need not be HTML: entities
// stay as they are, runs of space become one.
func title(page string) string {
	const maxTitle = 256
	at := indexFold(page, "<title")
	if at < 0 {
		return ""
	}
	_, text, ok := strings.Cut(page[at:], ">")
	if !ok {
		return ""
	}
	if end := indexFold(text, "</title"); end >= 0 {
		text = text[:end]
	}
	return clip(strings.Join(strings.Fields(clip(text, 4*maxTitle)), " "), maxTitle)
}

// indexFold finds what, which begins with "<", in any case of its letters.
func indexFold(s, what string) int {
	for i := 0; i+len(what) <= len(s); i++ {
		if s[i] == what[0] && strings.EqualFold(s[i:i+len(what)], what) {
			return i
		}
	}
	return -1
}

// titleVersion returns the version of CUPS that its pages carry in their
// titles, whatever ServerTokens says (facts/cups.md, section 2): "2.4.2" of
// "Forbidden - CUPS v2.4.2".
func titleVersion(title string) string {
	_, after, ok := strings.Cut(title, "CUPS ")
	if !ok {
		return ""
	}
	after = strings.TrimPrefix(after, "v")
	n := strings.IndexFunc(after, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
	if n >= 0 {
		after = after[:n]
	}
	return clip(strings.Trim(after, "."), 32)
}

// product returns the first token of a Server header that names CUPS, such as
// "CUPS/2.4", and its version.
func product(server string) (token, version string) {
	token, _, _ = strings.Cut(server, " ")
	version, ok := strings.CutPrefix(token, "CUPS/")
	if !ok {
		return "", ""
	}
	return token, version
}
