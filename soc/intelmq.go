package soc

import (
	"encoding/base64"
	"strings"
	"time"

	"ippwatch/exposure"
)

// IntelMQ returns the visit as an event of IntelMQ 3: flat, with the keys of its
// harmonization. Where the visit aims at somebody, the event is the victim's:
// source.ip is who is called, as in Shadowserver's reports on amplification.
func IntelMQ(v exposure.Visit, o Options) ([]byte, error) {
	v = o.withheld(v)
	e := map[string]any{
		"feed.provider":             "ippwatch",
		"feed.name":                 "ippwatch sensor",
		"feed.code":                 "ippwatch-sensor",
		"time.source":               intelTime(v.Observed),
		"time.observation":          intelTime(v.Received),
		"protocol.transport":        string(v.Transport),
		"protocol.application":      application(&v),
		"destination.port":          v.Door,
		"event_description.text":    plain(message(&v)),
		"classification.identifier": strings.ReplaceAll(string(v.Class), "_", "-"),
		"extra.event_id":            string(v.ID),
		"extra.class":               string(v.Class),
		"extra.reasons":             list(v.Reasons),
		"extra.source_spoofable":    v.Spoofable,
		"extra.count":               v.Count,
	}
	put := func(key string, value any, have bool) {
		if have {
			e[key] = value
		}
	}
	put("destination.ip", address(v.Dst), v.Dst.IsValid())
	put("extra.sensor", v.Sensor, v.Sensor != "")
	put("extra.user_agent", plain(v.UserAgent), v.UserAgent != "")
	put("extra.payload_sha256", v.PayloadSHA256, v.PayloadSHA256 != "")
	put("raw", base64.StdEncoding.EncodeToString(v.Payload), len(v.Payload) > 0)
	if c := v.Callback; c != nil {
		e["extra.callback_url"], e["extra.callback_host"], e["extra.callback_relation"] = plain(c.URL), plain(c.Host), string(c.Relation)
	}
	if victim, ok := Victim(&v); ok {
		place := o.where(victim.Addr())
		e["classification.taxonomy"], e["classification.type"] = "availability", "ddos"
		e["classification.identifier"] = "amplification-ddos-victim"
		e["source.ip"], e["source.port"] = victim.Addr().String(), victim.Port()
		e["extra.request_ip"] = address(v.Addr) // of the request; it may be forged
		put("source.asn", place.ASN, place.ASN != 0)
		put("source.geolocation.cc", place.Country, place.Country != "")
		return marshal(e)
	}
	e["classification.taxonomy"], e["classification.type"] = "information-gathering", "scanner"
	if v.Class == exposure.PrintAttempt || v.Class == exposure.AdminAttempt {
		e["classification.taxonomy"], e["classification.type"] = "intrusion-attempts", "ids-alert"
	}
	e["source.ip"] = address(v.Addr)
	put("source.port", v.Port, v.Port != 0)
	put("source.asn", v.Where.ASN, v.Where.ASN != 0)
	put("source.as_name", plain(v.Where.ASName), v.Where.ASName != "")
	put("source.geolocation.cc", v.Where.Country, v.Where.Country != "")
	return marshal(e)
}

func intelTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }

// plain leaves out what a line of text cannot hold.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
