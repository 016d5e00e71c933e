package read

import (
	"strconv"
	"strings"
)

// interfaceName joins what stands behind "interface": a name may have a space
// in it, and words behind it that say of what kind it is.
func interfaceName(words []string) string {
	if len(words) > 0 && (words[0] == "range" || words[0] == "preconfigure") {
		words = words[1:]
	}
	if len(words) == 0 {
		return ""
	}
	name := words[0]
	for _, w := range words[1:] {
		// Numbers, commas and dashes go on; l2transport and point-to-point do not.
		glued := strings.ContainsAny(w[:1], "0123456789,-") || strings.HasSuffix(name, ",") || strings.HasSuffix(name, "-")
		if !glued {
			break
		}
		name += w
	}
	return name
}

// covers reports how well the names of a section fit an interface: 0 not, 1 as
// an abbreviation or in another case, 2 to the letter. Of a range that is not
// understood it cannot be known.
func covers(names, mine string) (rank int, known bool) {
	if names == mine {
		return 2, true
	}
	head := ""
	for piece := range strings.SplitSeq(names, ",") {
		n := strings.IndexAny(piece, "0123456789")
		if n < 0 {
			if strings.EqualFold(piece, mine) {
				rank = max(rank, 1)
			}
			continue
		}
		if n > 0 {
			head = piece[:n]
		}
		first, last, ranged := strings.Cut(piece[n:], "-")
		got, ok := within(head, first, last, ranged, mine)
		if !ok {
			return rank, false
		}
		rank = max(rank, got)
	}
	return rank, true
}

// within asks for one piece of a list of names, such as Ethernet 1/1-4.
func within(head, first, last string, ranged bool, mine string) (rank int, known bool) {
	n := strings.IndexAny(mine, "0123456789")
	if n < 0 {
		return 0, true
	}
	word, number := mine[:n], mine[n:]
	switch {
	case head == word:
		rank = 2
	case abbreviates(head, word) || abbreviates(word, head):
		rank = 1
	default:
		return 0, true
	}
	if !ranged {
		if number != first {
			rank = 0
		}
		return rank, true
	}
	slash := strings.LastIndexAny(first, "/.") + 1
	stem := first[:slash]
	last = strings.TrimPrefix(last, stem)
	if !strings.HasPrefix(number, stem) {
		return 0, true
	}
	lo, err := strconv.Atoi(first[slash:])
	hi, err2 := strconv.Atoi(last)
	if err != nil || err2 != nil {
		return 0, false
	}
	if at, err := strconv.Atoi(number[slash:]); err != nil || at < lo || at > hi {
		rank = 0
	}
	return rank, true
}

// abbreviates reports whether the letters of a name are short for another's, as
// Te is for TenGigabitEthernet.
func abbreviates(short, long string) bool {
	return len(short) >= 2 && len(short) <= len(long) && strings.EqualFold(short, long[:len(short)])
}
