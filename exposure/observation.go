// Package exposure holds the nouns that everybody speaks: what was observed,
// what was found in it, and the long-lived case that grows from findings.
package exposure

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"time"
)

// Version is the version of the NDJSON form of an [Observation], its field "v".
// It changes when a reader that knows the former version would be misled.
const Version = 1

// An Observation is one answer, or one silence, of one host to one probe at
// one time. It holds facts only: a rule that is written next year can be
// applied to it. The engine that makes it fills everything but Where and
// Findings.
type Observation struct {
	V         int        `json:"v"`
	ID        ID         `json:"id"`
	Observed  time.Time  `json:"time"`     // when the host answered, or the waiting ended; UTC
	Received  time.Time  `json:"received"` // when we learned of it; UTC
	Run       string     `json:"run"`
	Source    Source     `json:"source"`
	Vantage   string     `json:"vantage"` // where we looked from; chosen by the operator
	Addr      netip.Addr `json:"ip"`
	Port      uint16     `json:"port"`
	Transport Transport  `json:"transport"`
	Probe     Probe      `json:"probe"`
	Attempt   int        `json:"attempt,omitempty"` // 0 for the first
	Verdict   Verdict    `json:"verdict"`
	// Reason says in a few words why the verdict is not a plain one: how a
	// conversation broke off, which limit was hit.
	Reason string `json:"reason,omitempty"`
	// Simulated is what the host says of itself, not a mode of ours: see
	// [SimulatedMark].
	Simulated bool `json:"simulated,omitempty"`

	// What was not heard is null in JSON, never absent.
	HTTP     *HTTP     `json:"http"`
	IPP      *IPP      `json:"ipp"`
	CUPS     *CUPS     `json:"cups"`
	TLS      *TLS      `json:"tls"`
	Printers []Printer `json:"printers"`
	Jobs     *Jobs     `json:"jobs,omitempty"`
	Callback *Callback `json:"callback"`
	Feed     *FeedRow  `json:"feed,omitempty"`

	Where    Where     `json:"where"`
	Findings []Finding `json:"findings"`
}

// SimulatedMark stands in the Server or User-Agent header of every service that
// ippwatch itself simulates. A host on a loopback address that says so is
// believed, and labelled in every table, page and report; any other that says so
// is a stranger who would like to be overlooked.
const SimulatedMark = "ippwatch-simulated"

// An ID names an observation for ever. It is chosen by the observer, so that
// any archive can recognise what it already has.
type ID string

// NewID returns the id of an observation that a run of ours made: a hash of
// run, target, probe and attempt, so that repeating the work repeats the id.
func NewID(run string, target netip.AddrPort, tr Transport, p Probe, attempt int) ID {
	h := sha256.New()
	for _, part := range []string{"observation", run, target.String(), string(tr), string(p)} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Write(binary.AppendUvarint(nil, uint64(attempt)))
	return ID(hex.EncodeToString(h.Sum(nil)[:16]))
}

// Target returns the address and port that were asked.
func (o *Observation) Target() netip.AddrPort { return netip.AddrPortFrom(o.Addr, o.Port) }

// A Source is the kind of observer that made an observation.
type Source string

// Sources.
const (
	Scan         Source = "scan"         // our own probe
	Verification Source = "verification" // our own probe, to verify a fix
	Audit        Source = "audit"        // from the host itself
	Shadowserver Source = "shadowserver" // a row of a daily report
	ZGrab2       Source = "zgrab2"       // a line of zgrab2's module ipp
	Nmap         Source = "nmap"         // a port in nmap's XML
	CSV          Source = "csv"          // a row of a table with a mapping of its columns
	Sensor       Source = "sensor"       // a sensor of ours, to which strangers come
	Edge         Source = "edge"         // logs and captures of a network's edge
)

// Sources are all of them.
var Sources = []Source{Scan, Verification, Audit, Shadowserver, ZGrab2, Nmap, CSV, Sensor, Edge}

// Feed reports whether the observation is somebody else's word: it makes an
// exposure reported, never confirmed, and its absence fixes nothing.
func (s Source) Feed() bool {
	switch s {
	case Scan, Verification, Audit, Sensor:
		return false
	}
	return true
}

// A Transport is the protocol under the port.
type Transport string

// Transports.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
)

// A Probe is a way of asking.
type Probe string

// Probes.
const (
	ProbeIPP    Probe = "ipp"          // a conversation in IPP over TCP
	ProbeBrowse Probe = "cups-browsed" // a browse packet over UDP and the call-back it causes
	ProbeDevice Probe = "device-id"    // a feed's fingerprint, by whatever protocol
)

// A Verdict is what a probe may conclude from one answer or silence. It never
// says more than was seen: silence is not "closed".
type Verdict string

// Verdicts of a conversation over TCP.
const (
	Answered    Verdict = "answered"    // spoke IPP to us, whatever the status code
	Restricted  Verdict = "restricted"  // a print service is there and refused us: HTTP 401, 403 or 426
	NotIPP      Verdict = "not-ipp"     // open, but what answered is not IPP
	Malformed   Verdict = "malformed"   // began to answer in HTTP or IPP and broke it
	Tarpit      Verdict = "tarpit"      // answered more slowly than the minimum progress
	Closed      Verdict = "closed"      // TCP RST, or ICMP port unreachable: nothing listens
	Unreachable Verdict = "unreachable" // ICMP host, network or administratively unreachable
	NoAnswer    Verdict = "no-answer"   // silence
	// Identified is a feed's: it names the service or the device that answered,
	// and does not say that the answer was IPP.
	Identified Verdict = "identified"
)

// Verdicts of a browse packet over UDP, beside [Closed] and [Unreachable].
const (
	CalledBack    Verdict = "callback"       // proven: the host called the address in the packet
	NoCallback    Verdict = "no-callback"    // inconclusive: filtered, restricted by BrowseAllow, or absent
	Interrupted   Verdict = "interrupted"    // we stopped before we could know
	NotApplicable Verdict = "not_applicable" // cups-browsed listens on IPv4 only
)

// Spoke reports whether the host sent anything at all.
func (v Verdict) Spoke() bool {
	switch v {
	case Answered, Restricted, NotIPP, Malformed, Tarpit, CalledBack, Identified:
		return true
	}
	return false
}

// Inconclusive reports whether the verdict leaves open what stands there: an
// earlier one of the same day is not outdated by it.
func (v Verdict) Inconclusive() bool {
	switch v {
	case NoAnswer, NoCallback, Interrupted, NotApplicable, Unreachable, Tarpit, Identified:
		return true
	}
	return false
}

// An HTTP is what the host said below IPP. Strings are as received, bounded,
// not escaped.
type HTTP struct {
	Status       int      `json:"status"` // of the exchange that decided the verdict; 0 where a feed does not tell
	Server       string   `json:"server,omitempty"`
	Authenticate []string `json:"www_authenticate,omitempty"`
	Upgrade      string   `json:"upgrade,omitempty"`
	ContentType  string   `json:"content_type,omitempty"`
	Location     string   `json:"location,omitempty"` // of a redirect, which was not followed off the host
	Title        string   `json:"title,omitempty"`    // of an HTML error page
	// Pages are the status codes of pages that were asked for with --admin;
	// their bodies were discarded.
	Pages map[string]int `json:"pages,omitempty"`
}

// An IPP is how the conversation went.
type IPP struct {
	Version   string     `json:"version,omitempty"`  // of the answer, such as "2.0"
	Status    StatusCode `json:"status"`             // of the exchange that decided the verdict; none came if Version is ""
	Versions  []string   `json:"versions,omitempty"` // ipp-versions-supported
	Exchanges []Exchange `json:"exchanges,omitempty"`
	// Lenient names each break of RFC 8010 that was read over, and what was cut
	// because a bound of ours was reached ("cut-...").
	Lenient []string `json:"lenient,omitempty"`
	// Stopped says why the reader stopped before the end of the message.
	Stopped string `json:"stopped,omitempty"`
}

// MarshalJSON leaves out the status when no IPP came back: 0x0000 would read as
// success.
func (i IPP) MarshalJSON() ([]byte, error) {
	type plain IPP
	if i.Version != "" {
		return json.Marshal(plain(i))
	}
	return json.Marshal(struct {
		plain
		Status *StatusCode `json:"status,omitempty"`
	}{plain: plain(i)})
}

// A StatusCode is an IPP status code (RFC 8011, appendix B). In JSON it is a
// string such as "0x0406".
type StatusCode uint16

// Successful reports whether the code is of the successful class.
func (c StatusCode) Successful() bool { return c < 0x0100 }

// MarshalText returns the code as four hexadecimal digits after "0x".
func (c StatusCode) MarshalText() ([]byte, error) {
	const digits = "0123456789abcdef"
	return []byte{'0', 'x', digits[c>>12], digits[c>>8&15], digits[c>>4&15], digits[c&15]}, nil
}

// UnmarshalText reads what [StatusCode.MarshalText] wrote.
func (c *StatusCode) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(strings.TrimPrefix(string(b), "0x"))
	if err != nil || len(raw) != 2 {
		return errStatusCode
	}
	*c = StatusCode(binary.BigEndian.Uint16(raw))
	return nil
}

// An Exchange is one request of ours and its outcome.
type Exchange struct {
	Operation string      `json:"operation"` // "CUPS-Get-Printers", "GET" ...
	Path      string      `json:"path"`
	Version   string      `json:"version,omitempty"` // of IPP, as asked
	TLS       bool        `json:"tls,omitempty"`
	HTTP      int         `json:"http,omitempty"`
	Status    *StatusCode `json:"status,omitempty"` // nil when no IPP came back
	Error     string      `json:"error,omitempty"`
}

// A CUPS is what marks the host as a CUPS server.
type CUPS struct {
	// Server is the product token of the Server header, such as "CUPS/2.4".
	Server string `json:"server,omitempty"`
	// Reported is the version that the host itself states: the attribute
	// cups-version, else the more exact of an error page and the Server header.
	// It is upstream's, without a distribution's patch level.
	Reported string `json:"reported_version,omitempty"`
	// Queues tells whether it lists queues to strangers.
	Queues bool `json:"queues"`
}

// A TLS is what the host offered on the same port.
type TLS struct {
	Offered     bool         `json:"offered"`            // false: a handshake was tried and refused
	Required    bool         `json:"required,omitempty"` // 426, or nothing in plain
	Version     string       `json:"version,omitempty"`  // such as "TLS 1.3"
	Cipher      string       `json:"cipher,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
	Error       string       `json:"error,omitempty"`
}

// A Certificate is the leaf that the host presented, never verified.
type Certificate struct {
	SHA256     string    `json:"sha256"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Names      []string  `json:"names,omitempty"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Key        string    `json:"key"` // such as "RSA 2048", "ECDSA P-256"
	KeyBits    int       `json:"key_bits"`
	Signature  string    `json:"signature"` // such as "SHA1-RSA"
	SelfSigned bool      `json:"self_signed"`
}

// A Jobs is the outcome of a job listing, which is made only when asked for.
// Names of jobs, documents and people are not kept.
type Jobs struct {
	Status     StatusCode `json:"status"`
	Listed     int        `json:"listed"`               // jobs in the answer
	Attributes []string   `json:"attributes,omitempty"` // names of the attributes given to a stranger
}

// A Callback is what came back over TCP for one browse packet. All figures are
// a lower bound: we answer 404 and complete the handshake.
type Callback struct {
	From        netip.Addr    `json:"from"` // may differ from the address that was asked
	UserAgent   string        `json:"user_agent,omitempty"`
	Posts       int           `json:"posts"`
	Connections int           `json:"connections"`
	After       time.Duration `json:"after_ns"`          // from our packet to the first call
	Late        bool          `json:"late,omitempty"`    // after the run had ended
	Asked       int           `json:"asked_bytes"`       // UDP payload of our packet
	BytesIn     int           `json:"bytes_in"`          // TCP payload that it sent
	BytesOut    int           `json:"bytes_out"`         // TCP payload that we sent
	RatioApp    float64       `json:"ratio_application"` // BytesIn / Asked, a lower bound
	RatioIP     float64       `json:"ratio_ip"`          // IP bytes in / IP bytes asked, a lower bound
	Queue       string        `json:"queue,omitempty"`   // the queue that the probe may have left there
}

// A Where is where a host is and whose. Absence is a value: an empty country,
// an ASN of 0.
type Where struct {
	Country  string `json:"country,omitempty"` // ISO 3166-1 alpha-2
	Region   string `json:"region,omitempty"`
	City     string `json:"city,omitempty"`
	ASN      uint32 `json:"asn,omitempty"`
	ASName   string `json:"as_name,omitempty"`
	Hostname string `json:"hostname,omitempty"` // from reverse DNS, only when asked for
}
