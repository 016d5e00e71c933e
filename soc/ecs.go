package soc

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"

	"ippwatch/exposure"
)

// ECSVersion is the version of the Elastic Common Schema that is written.
const ECSVersion = "8.17.0"

// The document. What ECS has no field for stands under "ippwatch".
type ecsDocument struct {
	Timestamp string       `json:"@timestamp"`
	Message   string       `json:"message"`
	Tags      []string     `json:"tags"`
	ECS       ecsVersion   `json:"ecs"`
	Event     ecsEvent     `json:"event"`
	Observer  ecsObserver  `json:"observer"`
	Source    ecsEndpoint  `json:"source"`
	Dest      ecsEndpoint  `json:"destination"`
	Network   ecsNetwork   `json:"network"`
	URL       *ecsURL      `json:"url,omitempty"`
	HTTP      *ecsHTTP     `json:"http,omitempty"`
	UserAgent *ecsAgent    `json:"user_agent,omitempty"`
	Related   ecsRelated   `json:"related"`
	Threat    *ecsThreat   `json:"threat,omitempty"`
	Ours      ecsOurFields `json:"ippwatch"`
}

type ecsVersion struct {
	Version string `json:"version"`
}

type ecsEvent struct {
	Kind     string   `json:"kind"`
	Category []string `json:"category"`
	Type     []string `json:"type"`
	Module   string   `json:"module"`
	Dataset  string   `json:"dataset"`
	Provider string   `json:"provider"`
	ID       string   `json:"id"`
	Action   string   `json:"action"`
	Reason   string   `json:"reason,omitempty"`
	Severity int      `json:"severity"`
	Start    string   `json:"start"`
	End      string   `json:"end,omitempty"`
	Created  string   `json:"created"`
	Original string   `json:"original,omitempty"`
}

type ecsObserver struct {
	Name    string `json:"name,omitempty"`
	Type    string `json:"type"`
	Vendor  string `json:"vendor"`
	Product string `json:"product"`
}

type ecsEndpoint struct {
	Address string  `json:"address,omitempty"`
	IP      string  `json:"ip,omitempty"`
	Port    uint16  `json:"port,omitempty"`
	Packets int     `json:"packets,omitempty"`
	Bytes   int64   `json:"bytes,omitempty"`
	Geo     *ecsGeo `json:"geo,omitempty"`
	AS      *ecsAS  `json:"as,omitempty"`
}

type ecsGeo struct {
	Country string `json:"country_iso_code,omitempty"`
	City    string `json:"city_name,omitempty"`
}

type ecsAS struct {
	Number       uint32  `json:"number"`
	Organization *ecsOrg `json:"organization,omitempty"`
}

type ecsOrg struct {
	Name string `json:"name"`
}

type ecsNetwork struct {
	Transport string `json:"transport"`
	Type      string `json:"type"`
	Protocol  string `json:"protocol"`
	Direction string `json:"direction"`
	Packets   int    `json:"packets,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`
}

type ecsURL struct {
	Original string `json:"original"`
	Domain   string `json:"domain,omitempty"`
	Port     uint16 `json:"port,omitempty"`
	Path     string `json:"path,omitempty"`
}

type ecsHTTP struct {
	Request ecsRequest `json:"request"`
}

type ecsRequest struct {
	Method string `json:"method"`
}

type ecsAgent struct {
	Original string `json:"original"`
}

type ecsRelated struct {
	IP    []string `json:"ip"`
	Hosts []string `json:"hosts,omitempty"`
	Hash  []string `json:"hash,omitempty"`
}

type ecsThreat struct {
	Framework string       `json:"framework"`
	Technique ecsTechnique `json:"technique"`
}

type ecsTechnique struct {
	ID   []string `json:"id"`
	Name []string `json:"name"`
}

type ecsOurFields struct {
	V         int                 `json:"v"`
	Class     exposure.Class      `json:"class"`
	Reasons   []string            `json:"reasons"`
	Evidence  []string            `json:"evidence"`
	Spoofable bool                `json:"source_spoofable"`
	Persona   string              `json:"persona,omitempty"`
	TTL       uint8               `json:"ttl,omitempty"`
	Callback  *exposure.Solicited `json:"callback,omitempty"`
	Scanners  []exposure.Scanner  `json:"scanners,omitempty"`
	Print     *exposure.Print     `json:"print,omitempty"`
}

// ECS returns the visit as a document of the Elastic Common Schema.
func ECS(v exposure.Visit, o Options) ([]byte, error) {
	v = o.withheld(v)
	d := ecsDocument{
		Timestamp: stamp(v.Observed), Message: message(&v), Tags: []string{"ippwatch", "sensor"}, ECS: ecsVersion{ECSVersion},
		Event: ecsEvent{
			Kind: "event", Category: []string{"network", "intrusion_detection"}, Type: []string{"info"}, Module: "ippwatch", Dataset: "ippwatch.sensor", Provider: "ippwatch",
			ID: string(v.ID), Action: string(v.Class), Reason: strings.Join(v.Evidence, "; "), Severity: weight(v.Severity), Start: stamp(v.Observed), Created: stamp(v.Received),
		},
		Observer: ecsObserver{Name: v.Sensor, Type: "sensor", Vendor: "ippwatch", Product: "ippwatch"},
		Source:   ecsSource(&v),
		Dest:     ecsEndpoint{IP: address(v.Dst), Port: v.Door, Address: address(v.Dst)},
		Network: ecsNetwork{
			Transport: string(v.Transport), Type: "ipv4", Protocol: application(&v), Direction: "inbound", Packets: v.Count, Bytes: v.Bytes,
		},
		Related: ecsRelated{IP: []string{v.Addr.String()}},
		Ours: ecsOurFields{
			V: v.V, Class: v.Class, Reasons: list(v.Reasons), Evidence: list(v.Evidence), Spoofable: v.Spoofable, Persona: v.Persona, TTL: v.TTL,
			Callback: v.Callback, Scanners: v.Scanners, Print: v.Print,
		},
	}
	if !v.Ended.IsZero() {
		d.Event.End = stamp(v.Ended)
	}
	if v.Addr.Is6() {
		d.Network.Type = "ipv6"
	}
	if len(v.Payload) > 0 {
		d.Event.Original = base64.StdEncoding.EncodeToString(v.Payload)
	}
	if v.PayloadSHA256 != "" {
		d.Related.Hash = append(d.Related.Hash, v.PayloadSHA256)
	}
	d.call(&v)
	if v.URL != "" && d.URL == nil {
		d.URL = &ecsURL{Original: v.URL}
	}
	if v.Method != "" {
		d.HTTP = &ecsHTTP{ecsRequest{v.Method}}
	}
	if v.UserAgent != "" {
		d.UserAgent = &ecsAgent{v.UserAgent}
	}
	if a := address(v.Dst); a != "" {
		d.Related.IP = append(d.Related.IP, a)
	}
	return marshal(d)
}

// call adds whom the visit asks others to call.
func (d *ecsDocument) call(v *exposure.Visit) {
	c := v.Callback
	if c == nil {
		return
	}
	d.URL = &ecsURL{Original: c.URL, Domain: c.Host, Port: c.Port, Path: c.Path}
	if a := address(c.Addr); a != "" && !slices.Contains(d.Related.IP, a) {
		d.Related.IP = append(d.Related.IP, a)
	} else if a == "" {
		d.Related.Hosts = append(d.Related.Hosts, c.Host)
	}
	d.Threat = &ecsThreat{"MITRE ATT&CK", ecsTechnique{[]string{"T1595"}, []string{"Active Scanning"}}}
	if _, victim := Victim(v); victim {
		d.Event.Kind = "alert"
		d.Threat.Technique = ecsTechnique{[]string{"T1498"}, []string{"Network Denial of Service"}}
	}
}

func ecsSource(v *exposure.Visit) ecsEndpoint {
	e := ecsEndpoint{Address: address(v.Addr), IP: address(v.Addr), Port: v.Port, Packets: v.Count, Bytes: v.Bytes}
	if v.Where.Country != "" || v.Where.City != "" {
		e.Geo = &ecsGeo{v.Where.Country, v.Where.City}
	}
	if v.Where.ASN != 0 {
		e.AS = &ecsAS{Number: v.Where.ASN}
		if v.Where.ASName != "" {
			e.AS.Organization = &ecsOrg{v.Where.ASName}
		}
	}
	return e
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// weight is a severity as a number, as Elastic's rules count.
func weight(s exposure.Severity) int {
	switch s {
	case exposure.Critical:
		return 99
	case exposure.High:
		return 73
	case exposure.Medium:
		return 47
	case exposure.Low:
		return 21
	}
	return 0
}
