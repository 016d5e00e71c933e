package watch

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"
)

// An eveEvent is a line of Suricata's eve.json, as far as it is read (EVE JSON
// format of Suricata 6 and 7).
type eveEvent struct {
	Timestamp string   `json:"timestamp"`
	Type      string   `json:"event_type"`
	Src       string   `json:"src_ip"`
	SrcPort   int      `json:"src_port"`
	Dst       string   `json:"dest_ip"`
	DstPort   int      `json:"dest_port"`
	Proto     string   `json:"proto"`
	Payload   []byte   `json:"payload"` // of an alert, in base64, when that is switched on
	Flow      *eveFlow `json:"flow"`
	HTTP      *struct {
		Host      string `json:"hostname"`
		URL       string `json:"url"`
		Method    string `json:"http_method"`
		UserAgent string `json:"http_user_agent"`
	} `json:"http"`
	DNS *struct {
		Answers []struct {
			Name string `json:"rrname"`
			Type string `json:"rrtype"`
			Data string `json:"rdata"`
		} `json:"answers"`
		Name    string              `json:"rrname"`
		Grouped map[string][]string `json:"grouped"`
	} `json:"dns"`
}

type eveFlow struct {
	Start string `json:"start"`
	Bytes int    `json:"bytes_toserver"`
}

// eveTime is Suricata's form of a time.
const eveTime = "2006-01-02T15:04:05.999999-0700"

func (l *Log) eve(line []byte) {
	var e eveEvent
	if err := json.Unmarshal(line, &e); err != nil {
		l.badJSON(err)
		return
	}
	switch e.Type {
	case "flow", "alert", "http", "dns", "netflow":
	default:
		return
	}
	at, err := time.Parse(eveTime, e.Timestamp)
	if err != nil {
		l.bad(0, "no time in timestamp")
		return
	}
	if e.Type == "flow" && e.Flow != nil {
		if start, err := time.Parse(eveTime, e.Flow.Start); err == nil {
			at = start
		}
	}
	at = at.UTC()
	if e.Type == "dns" {
		l.eveNames(&e)
		return
	}
	from, ok1 := addrPort(e.Src, e.SrcPort)
	to, ok2 := addrPort(e.Dst, e.DstPort)
	if !ok1 || !ok2 {
		if e.Proto == "TCP" || e.Proto == "UDP" {
			l.bad(0, "no addresses")
		}
		return
	}
	switch {
	case e.Proto == "UDP" && to.Port() == 631 && (e.Type == "flow" || e.Type == "alert"):
		p := Packet{At: at, From: from, To: to, Where: l.where()}
		if e.Type == "alert" && len(e.Payload) > 0 {
			browsed(&p, e.Payload)
		} else if e.Type == "alert" {
			return // its flow will be told
		}
		l.sink.Packet(p)
	case e.Proto == "TCP" && e.Type == "flow":
		c := Call{At: at, From: from, To: to, Where: l.where()}
		l.sink.Call(c)
	case e.Proto == "TCP" && e.Type == "http" && e.HTTP != nil:
		l.sink.Call(Call{
			At: at, From: from, To: to, Where: l.where(),
			Method: e.HTTP.Method, Host: e.HTTP.Host, URI: e.HTTP.URL, UserAgent: e.HTTP.UserAgent,
		})
	}
}

func (l *Log) eveNames(e *eveEvent) {
	if e.DNS == nil {
		return
	}
	for _, a := range e.DNS.Answers {
		l.name(a.Name, a.Data)
	}
	for kind, list := range e.DNS.Grouped {
		if kind != "A" && kind != "AAAA" {
			continue
		}
		for _, data := range list {
			l.name(e.DNS.Name, data)
		}
	}
}

// name tells of an answer, if it is an address.
func (l *Log) name(name, data string) {
	if a, err := netip.ParseAddr(strings.TrimSpace(data)); err == nil {
		l.sink.Name(name, a.Unmap().WithZone(""))
	}
}
