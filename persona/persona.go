// Package persona plays print services on sockets, for the demo, tests and
// benchmarks.
package persona

import (
	"net/http"
	"net/netip"
	"time"

	"ippwatch/exposure"
)

// A Persona is a part: how one host behaves at its print ports, and what a
// right scan must say of it. Whatever speaks says that it is simulated, with
// [exposure.SimulatedMark].
type Persona struct {
	Name  string // such as "cups-office"
	About string // one sentence
	Truth Truth

	play   part        // over HTTP; nil where greet is, or nothing listens
	greet  greeter     // over TCP without HTTP
	tls    certificate // over the same port
	strict bool        // TLS only
	manner manner      // nil: plain
	udp    *browsed    // nil: nothing listens, so the kernel answers with ICMP
}

// A Truth is what a scan with default options must find. Rules are ids of
// package rule, sorted.
type Truth struct {
	// TCP are the verdicts of which any one is right.
	TCP []exposure.Verdict
	// Rules must be found over TCP; no others but those of MayAlso, Admin and
	// Jobs may.
	Rules []string
	// MayAlso are found or not, as the scanner reads on after what is broken.
	MayAlso []string
	// Admin and Jobs are found with --admin and --jobs, in addition.
	Admin, Jobs []string
	// UDP is the verdict for one browse packet; "" where this machine cannot
	// give the host a UDP port of its own.
	UDP exposure.Verdict
	// UDPRules must be found over UDP, and no others.
	UDPRules []string
	// Posts is how many calls one browse packet causes.
	Posts int
}

// A part is a cupsd, a device or something worse. rehearse prepares it for one
// place; what can go wrong goes wrong there and not at an answer.
type part interface {
	rehearse(at stage) (http.Handler, error)
}

// A stage is the place where a part is played.
type stage struct {
	addr    netip.Addr
	started time.Time
}

// A Host is a persona at its place.
type Host struct {
	Persona
	Addr netip.Addr
	Port uint16 // over TCP
	UDP  uint16 // port to which a browse packet may be sent; 0: none of its own
}
