package rule

import (
	"fmt"
	"strings"

	"ippwatch/exposure"
)

// An Answer is what one observation says about the end of a case.
type Answer int

// Answers. The zero value is the careful one.
const (
	CannotTell Answer = iota // the observation does not decide it
	Yes                      // it is over
	No                       // it is still there
)

// String returns the answer as a reader is told it.
func (a Answer) String() string {
	switch a {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "cannot tell"
}

type (
	looker  = func(*exposure.Observation) (string, bool)
	clearer = func(*exposure.Observation) (Answer, string)
)

// overTCP answers what all rules about a conversation in IPP answer alike, and
// leaves to then the hosts that answered or refused us: see [exposure.Answered]
// and [exposure.Restricted].
//
// A port that answers with RST holds no service, so every such rule is cleared.
// Silence, a tarpit, a broken answer and a router's refusal come from filters
// and overload as well as from a fix: they clear nothing. Nor does a service
// other than IPP, which may be a middlebox that answers in the host's place.
func overTCP(look looker, then clearer) clearer {
	return func(o *exposure.Observation) (Answer, string) {
		if o.Transport != exposure.TCP || o.Probe != exposure.ProbeIPP {
			return CannotTell, otherProbe(o, exposure.ProbeIPP, exposure.TCP)
		}
		if answer, why, decided := common(o, look); decided {
			return answer, why
		}
		switch o.Verdict {
		case exposure.Closed:
			return Yes, fmt.Sprintf("TCP port %d is closed: nothing listens there", o.Port)
		case exposure.Answered, exposure.Restricted:
			return then(o)
		case exposure.NotIPP:
			return CannotTell, fmt.Sprintf("TCP port %d is open, but what answered is not IPP: it may stand in front of the print service", o.Port)
		case exposure.Tarpit:
			return CannotTell, "it answered too slowly to be read"
		case exposure.Malformed:
			return CannotTell, "it began to answer and broke off"
		case exposure.Unreachable:
			return CannotTell, "a router said that it cannot be reached: that is a filter or an outage, not a fix"
		}
		return CannotTell, "silence is no answer: it may be filtered here, switched off, or lost on the way"
	}
}

// overUDP is [overTCP] for the rules about a browse packet. Nothing but an ICMP
// port unreachable clears them (facts/cups.md 1.2, 1.7): a host with BrowseAllow,
// a filter on the call-back or a left-over queue is silent, too.
func overUDP(look looker) clearer {
	return func(o *exposure.Observation) (Answer, string) {
		if o.Transport != exposure.UDP || o.Probe != exposure.ProbeBrowse {
			return CannotTell, otherProbe(o, exposure.ProbeBrowse, exposure.UDP)
		}
		if answer, why, decided := common(o, look); decided {
			return answer, why
		}
		switch o.Verdict {
		case exposure.Closed:
			return Yes, fmt.Sprintf("UDP port %d is closed (ICMP port unreachable): nothing listens there", o.Port)
		case exposure.Unreachable:
			return CannotTell, "a router said that it cannot be reached: that is a filter or an outage, not a fix"
		case exposure.Interrupted:
			return CannotTell, "the waiting was interrupted"
		case exposure.NotApplicable:
			return CannotTell, "cups-browsed listens on IPv4 only: over IPv6 it was not asked"
		}
		return CannotTell, "no call-back clears nothing: the packet or the call may have been filtered, BrowseAllow may name others, or a left-over queue may have swallowed it"
	}
}

// common is what holds whatever the transport: a finding is not over, and a
// feed can only accuse. Absence from a feed fixes nothing (DESIGN.md).
func common(o *exposure.Observation, look looker) (answer Answer, why string, decided bool) {
	if evidence, found := look(o); found {
		return No, evidence, true
	}
	if o.Source == exposure.Audit && o.Verdict == exposure.Closed {
		return Yes, fmt.Sprintf("nothing listens at %s port %d, as %s itself was seen from inside", strings.ToUpper(string(o.Transport)), o.Port, quote(o.Vantage)), true
	}
	if o.Source.Feed() {
		return CannotTell, "a row of a feed says what was found, not what is closed", true
	}
	return CannotTell, "", false
}

func otherProbe(o *exposure.Observation, p exposure.Probe, tr exposure.Transport) string {
	return fmt.Sprintf("this was asked with %q over %q; only %s over %s can tell",
		clip(string(o.Probe), 20), clip(string(o.Transport), 20), p, tr)
}

// refused reports whether the host refused the whole conversation with 401 or
// 403. What one of the refused requests would have shown is then not shown any
// more. A 426 asks for TLS and refuses nothing.
func refused(o *exposure.Observation) (string, bool) {
	if o.Verdict == exposure.Restricted && o.HTTP != nil && (o.HTTP.Status == 401 || o.HTTP.Status == 403) {
		return fmt.Sprintf("HTTP %d", o.HTTP.Status), true
	}
	return "", false
}

// refusedOperation reports whether the named operation was asked and refused
// to a stranger, by HTTP or by IPP (RFC 8011, appendix B.1.4). The last time
// that it was asked counts: after 426 it is asked again over TLS.
func refusedOperation(o *exposure.Observation, operation string) (string, bool) {
	e, ok := asked(o, operation)
	if !ok {
		return "", false
	}
	if e.HTTP == 401 || e.HTTP == 403 {
		return fmt.Sprintf("HTTP %d", e.HTTP), true
	}
	if e.Status != nil && *e.Status >= 0x0401 && *e.Status <= 0x0403 {
		return fmt.Sprintf("IPP status 0x%04x", uint16(*e.Status)), true
	}
	return "", false
}

// asked returns the last exchange with the operation.
func asked(o *exposure.Observation, operation string) (exposure.Exchange, bool) {
	if o.IPP == nil {
		return exposure.Exchange{}, false
	}
	for i := len(o.IPP.Exchanges) - 1; i >= 0; i-- {
		if o.IPP.Exchanges[i].Operation == operation {
			return o.IPP.Exchanges[i], true
		}
	}
	return exposure.Exchange{}, false
}

// undescribed answers for the rules about what printers say of themselves.
// They are cleared by a full description without it, or by a refusal of the
// request that would have described them.
func undescribed(o *exposure.Observation, what string) (Answer, string) {
	if by, ok := refused(o); ok {
		return Yes, "the printers are not described to strangers any more: " + by
	}
	if o.Verdict != exposure.Answered || len(o.Printers) == 0 {
		return CannotTell, "no printer described itself this time"
	}
	if o.IPP != nil && o.IPP.Stopped != "" {
		return CannotTell, "the description could not be read to its end: " + quote(o.IPP.Stopped)
	}
	return Yes, fmt.Sprintf("%s without %s", count(len(o.Printers), "printer describes itself", "printers describe themselves"), what)
}
