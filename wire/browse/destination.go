package browse

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// Errors of [Packet.Destination]: reasons why cups-browsed, having read a
// packet, calls nobody.
var (
	ErrDelete = errors.New("browse packet: withdraws a queue")
	ErrPath   = errors.New("browse packet: the path is neither under /printers/ nor under /classes/")
	ErrHost   = errors.New("browse packet: names no host and port")
)

// A Destination is whom a packet makes cups-browsed call, over TCP and in
// plain HTTP whatever the scheme (facts/cups.md 1.3).
type Destination struct {
	Host string // as written, decoded; an IPv6 literal has no brackets
	Port uint16
	Path string // of the POST: decoded, without the query
}

// Destination returns whom the packet makes cups-browsed call. It reads the
// URI as httpSeparateURI of libcups 2.4.2 does, whose verdict cups-browsed does
// not look at: what could be read is used. testdata/separate.golden holds
// libcups's own answers.
func (p Packet) Destination() (Destination, error) {
	if p.Type&Delete != 0 {
		return Destination{}, ErrDelete
	}
	host, port, resource := separate(p.URI)
	if !hasPrefixFold(resource, "/printers/") && !hasPrefixFold(resource, "/classes/") {
		return Destination{}, ErrPath
	}
	if host == "" || port == 0 {
		return Destination{}, ErrHost
	}
	path, _, _ := strings.Cut(resource, "?")
	return Destination{Host: host, Port: port, Path: path}, nil
}

const (
	maxScheme = 30
	maxHost   = 254
)

// Bytes that httpSeparateURI lets stand in a scheme, and in a host name.
var (
	schemeChars  = set("-+." + alphanumerics)
	hostChars    = set("-._~%!$&'()*+,;=\\" + alphanumerics)
	literalChars = set("0123456789abcdefABCDEF:.")
)

const alphanumerics = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// A charset is the bytes that may stand somewhere.
type charset [256]bool

func set(chars string) (c charset) {
	for i := range len(chars) {
		c[chars[i]] = true
	}
	return c
}

// span returns how many of the first bytes of s are in the set.
func (c *charset) span(s string) int {
	n := 0
	for n < len(s) && c[s[n]] {
		n++
	}
	return n
}

// defaultPort is that of httpSeparateURI; it compares in lower case only.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	case "ipp", "ipps":
		return 631
	case "lpd":
		return 515
	case "socket":
		return 9100
	}
	return 0
}

// separate is httpSeparateURI with HTTP_URI_CODING_ALL, without the user name.
// What comes after the place where it gave up stays empty.
func separate(uri string) (host string, port uint16, resource string) {
	scheme, rest := "ipp", uri
	if !strings.HasPrefix(uri, "//") {
		n := schemeChars.span(uri[:min(len(uri), maxScheme)])
		if n == 0 || n == len(uri) || uri[n] != ':' || uri[0] == '.' {
			// Without a scheme, a path is that of a local file.
			if strings.HasPrefix(uri, "/") {
				resource, _ = decode(uri)
			}
			return "", 0, resource
		}
		scheme, rest = uri[:n], uri[n+1:]
	}
	port = defaultPort(scheme)
	after, isNetwork := strings.CutPrefix(rest, "//")
	if !isNetwork {
		resource, _ = decode(rest)
		return "", port, resource
	}
	ok := true
	if i := strings.IndexAny(after, "@/"); i >= 0 && after[i] == '@' {
		_, ok = decode(after[:i])
		after = after[i+1:]
	}
	if ok {
		host, after, ok = cutHost(after)
	}
	if !ok || scheme == "file" && host != "" {
		return "", 0, ""
	}
	if strings.HasPrefix(after, ":") {
		port, after, ok = cutPort(after[1:])
		if !ok {
			return host, 0, ""
		}
	}
	if after == "" || after[0] == '?' {
		after = "/" + after
	}
	resource, _ = decode(after)
	return host, port, resource
}

// cutHost splits a host name, an address, or an IPv6 literal in brackets from
// what follows it.
func cutHost(s string) (host, rest string, ok bool) {
	if literal, bracketed := strings.CutPrefix(s, "["); bracketed {
		host, rest, ok = strings.Cut(literal, "]")
		addr := host
		// CUPS's own form [v1.ADDRESS+ZONE] is unfolded.
		if zoned, v1 := strings.CutPrefix(host, "v1."); v1 {
			addr, _, _ = strings.Cut(zoned, "+")
			host = strings.Replace(zoned, "+", "%", 1)
		}
		return host, rest, ok && addr != "" && literalChars.span(addr) == len(addr)
	}
	// None of the signs that end a name may stand in it.
	end := hostChars.span(s)
	if end < len(s) && s[end] != ':' && s[end] != '?' && s[end] != '/' {
		return "", "", false
	}
	host, ok = decode(s[:end])
	return host[:min(len(host), maxHost)], s[end:], ok
}

// cutPort splits a decimal port from what follows it, which must be a path.
func cutPort(s string) (port uint16, rest string, ok bool) {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(s[:n], 10, 16)
	if err != nil || v == 0 || n < len(s) && s[n] != '/' {
		return 0, "", false
	}
	return uint16(v), s[n:], true
}

// decode undoes percent encoding as http_copy_decode does: a bad escape or a
// byte that is not printable ASCII refuses the whole, an encoded NUL ends it.
func decode(s string) (string, bool) {
	at := plain(s)
	if at == len(s) {
		return s, true
	}
	b := make([]byte, at, len(s))
	copy(b, s)
	for i := at; i < len(s); i++ {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7f:
			return "", false
		case c == '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, ok1 := hexDigit(s[i+1])
			low, ok2 := hexDigit(s[i+2])
			if !ok1 || !ok2 {
				return "", false
			}
			c = high<<4 | low
			i += 2
		}
		b = append(b, c)
	}
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text), true
}

// Eight bytes that are all one, and their highest bits.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns how many of the first bytes of s are printable ASCII other than
// "%". It takes eight at a time, because padding is a thousand of them.
func plain(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := s[i : i+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		percent := x ^ '%'*ones
		if (x|(x+ones)|(x-'!'*ones)&^x|(percent-ones)&^percent)&highs != 0 {
			break
		}
	}
	for i < len(s) && s[i] > ' ' && s[i] < 0x7f && s[i] != '%' {
		i++
	}
	return i
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
