package shadowserver

import (
	"strings"
	"time"

	"ippwatch/exposure"
	"ippwatch/feed"
)

// printing are words in the types of devices that print. The list of types is
// Shadowserver's own and not published.
var printing = []string{"print", "mfp", "multifunction", "multi-function", "label-maker", "plotter"}

// readDevice reads a printer that was recognised by whatever protocol. That is
// no answer in IPP, unless the tag says that it was found by one.
func readDevice(c *feed.Columns, r *report, received time.Time) feed.Row {
	kind := strings.ToLower(c.Look("device_type"))
	prints := has(tags(c), "ipp")
	for _, word := range printing {
		prints = prints || strings.Contains(kind, word)
	}
	if !prints {
		return feed.Row{}
	}
	o := host(c, r, received)
	o.Transport, o.Port = transport(c, exposure.TCP), c.Port("port", 0)
	if o.Port == 0 {
		c.Fault("no port")
	}
	o.Probe, o.Verdict = exposure.ProbeDevice, exposure.Identified
	if has(tags(c), "ipp") && o.Transport == exposure.TCP {
		o.Probe, o.Verdict = exposure.ProbeIPP, exposure.Answered
	}
	o.Feed = c.Rest(r.name)
	return feed.Row{Observation: &o}
}
