package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ippwatch/exposure"
)

// given returns the pages of a CUPS server that match and came back with 200.
// Only the status is known, as the bodies were discarded; so the host must be
// known for CUPS, because many a device answers 200 to every path.
func given(o *exposure.Observation, match func(path string) bool) (string, bool) {
	if o.Transport != exposure.TCP || o.HTTP == nil || o.CUPS == nil {
		return "", false
	}
	var found []string
	for _, path := range slices.Sorted(maps.Keys(o.HTTP.Pages)) {
		if match(path) && o.HTTP.Pages[path] == 200 {
			found = append(found, quote(path))
		}
	}
	if len(found) == 0 {
		return "", false
	}
	return fmt.Sprintf("%s to a stranger with HTTP 200: %s", count(len(found), "page was given", "pages were given"), list(found)), true
}

// withheld answers for pages: those that match were asked for and refused, or
// are not there. A 426 wants TLS first and may then give the page; a redirect
// was not followed.
func withheld(o *exposure.Observation, match func(path string) bool) (Answer, string) {
	asked := 0
	if o.HTTP != nil {
		for _, path := range slices.Sorted(maps.Keys(o.HTTP.Pages)) {
			if !match(path) {
				continue
			}
			asked++
			switch status := o.HTTP.Pages[path]; status {
			case 401, 403, 404, 410:
			default:
				return CannotTell, fmt.Sprintf("%s was answered with HTTP %d, which is no refusal", quote(path), status)
			}
		}
	}
	if asked == 0 {
		return CannotTell, "the page was not asked for: that is done with --admin only"
	}
	return Yes, fmt.Sprintf("%s refused to strangers, or not there", count(asked, "page is", "pages are"))
}

func isAdmin(path string) bool {
	return (path == "/admin" || strings.HasPrefix(path, "/admin/")) && !isConfig(path) && !isLog(path)
}

func isConfig(path string) bool { return strings.HasPrefix(path, "/admin/conf") }

func isLog(path string) bool { return strings.HasPrefix(path, "/admin/log") }
