package class

import (
	"errors"

	"ippwatch/wire/browse"
)

var errItself = errors.New("the call-back host is the receiver")

// silence says why nobody would be called.
func silence(err error) (word, sentence string) {
	switch {
	case errors.Is(err, browse.ErrUnterminated):
		return "unterminated_text", "a quoted text has no end: cups-browsed drops the packet"
	case errors.Is(err, browse.ErrMalformed):
		return "not_a_browse_packet", "it does not begin with two hexadecimal numbers and a URI: cups-browsed drops it"
	case errors.Is(err, browse.ErrDelete):
		return "withdraws_queue", "the delete bit is set: cups-browsed forgets a queue, and calls nobody"
	case errors.Is(err, browse.ErrPath):
		return "path_without_effect", "the path is neither under /printers/ nor under /classes/: cups-browsed calls nobody"
	case errors.Is(err, errItself):
		return "call_to_receiver", "the URI names the receiver itself: cups-browsed passes over its own queues"
	}
	return "names_nobody", "the URI names no host and port: cups-browsed calls nobody"
}
