package filter

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Counter is how many packets a rule has had.
type Counter struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
	// Bytes is not told by every platform.
	Bytes uint64 `json:"bytes,omitempty"`
}

// counterReaders know what the platforms print when they are asked for counters
// (Output.Counters of acl/render says how). Lines that are no counters are passed
// over: such text is for people and has heads and feet.
var counterReaders = map[string]func(string) []Counter{
	"nftables": nftCounters,
	"iptables": iptCounters,
	"pf":       pfCounters,
	"ios-xe":   listCounters,
	"ios-xr":   listCounters,
	"eos":      listCounters,
	"junos":    junosCounters,
	"sros":     srosCounters,
	"routeros": routerosCounters,
}

// Counters reads what a platform printed, and joins those of one name.
func Counters(platform string, texts []string) ([]Counter, error) {
	read, ok := counterReaders[platform]
	if !ok {
		return nil, fmt.Errorf("platform %q: its counters are not read", platform)
	}
	var all []Counter
	for _, text := range texts {
		for _, c := range read(text) {
			i := slices.IndexFunc(all, func(o Counter) bool { return o.Name == c.Name })
			if i < 0 {
				all = append(all, c)
				continue
			}
			all[i].Packets += c.Packets
			all[i].Bytes += c.Bytes
		}
	}
	return all, nil
}

// CounterPlatforms are those whose counters are read.
func CounterPlatforms() []string {
	var names []string
	for _, name := range Names() {
		if counterReaders[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// found reads the counters of a text: the names of the groups of the pattern say
// what they are.
func found(pattern *regexp.Regexp, text string, name func(groups map[string]string) string) []Counter {
	var all []Counter
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		groups := make(map[string]string)
		for i, group := range pattern.SubexpNames() {
			groups[group] = m[i]
		}
		packets, err := strconv.ParseUint(groups["packets"], 10, 64)
		if err != nil {
			continue
		}
		bytes, _ := strconv.ParseUint(groups["bytes"], 10, 64) // absent: not told
		all = append(all, Counter{name(groups), packets, bytes})
	}
	return all
}

func byGroup(groups map[string]string) string { return groups["name"] }

// "nft list counters": counter epf631_in_tcp { packets 3 bytes 180 }.
var nftCounter = regexp.MustCompile(`counter (?P<name>\S+) \{\s*(?:comment "[^"\n]*"\s*)?packets (?P<packets>\d+) bytes (?P<bytes>\d+)`)

func nftCounters(text string) []Counter { return found(nftCounter, text, byGroup) }

// "iptables-save -c": [3:180] -A epf631_in ... --comment epf631_in_tcp -j DROP.
var iptCounter = regexp.MustCompile(`(?m)^\[(?P<packets>\d+):(?P<bytes>\d+)\] -A .*--comment "?(?P<name>epf\w+)"?.* -[jg] `)

func iptCounters(text string) []Counter { return found(iptCounter, text, byGroup) }

// "pfctl -vsl": label, evaluations, packets, bytes, and these in and out.
var pfCounter = regexp.MustCompile(`(?m)^(?P<name>epf\w+) \d+ (?P<packets>\d+) (?P<bytes>\d+)`)

func pfCounters(text string) []Counter { return found(pfCounter, text, byGroup) }

// Cisco and Arista print the list with the matches behind each line, and no
// remarks: the name is the line.
var (
	listHead    = regexp.MustCompile(`(?i)^\s*(?:extended |standard )?(?:ip|ipv4|ipv6) access[ -]list (\S+)`)
	listCounter = regexp.MustCompile(`^\s*(?:(?P<seq>\d+) )?(?P<line>(?:permit|deny) .*?)\s*[\[(](?:match )?(?P<packets>\d+)(?: (?:hw )?match(?:es)?| packets|,)`)
	listLast    = regexp.MustCompile(` sequence \d+$`)
)

func listCounters(text string) []Counter {
	var all []Counter
	list := ""
	for line := range strings.Lines(text) {
		if m := listHead.FindStringSubmatch(line); m != nil {
			list = m[1] + ": "
			continue
		}
		all = append(all, found(listCounter, strings.TrimRight(line, "\r\n"), func(g map[string]string) string {
			return list + strings.TrimSpace(g["seq"]+" "+listLast.ReplaceAllString(g["line"], ""))
		})...)
	}
	return all
}

// "show firewall filter": name, bytes, packets.
var junosCounter = regexp.MustCompile(`(?m)^(?P<name>epf[\w-]+)(?:-\S+)?\s+(?P<bytes>\d+)\s+(?P<packets>\d+)\s*$`)

func junosCounters(text string) []Counter { return found(junosCounter, text, byGroup) }

// "show filter ip NAME counters": an entry, and under it what matched.
var srosCounter = regexp.MustCompile(`(?m)^(?P<way>Ing|Egr)\. Matches\s*:\s*(?P<packets>\d+)(?: pkts)?(?: \((?P<bytes>\d+) bytes\))?`)

func srosCounters(text string) []Counter {
	var all []Counter
	entry := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "Entry":
			entry = "entry " + value
		case "Description":
			if strings.HasPrefix(value, "epf") {
				entry = value
			}
		}
		for _, c := range found(srosCounter, line, func(map[string]string) string { return entry }) {
			if c.Packets > 0 || strings.HasPrefix(line, "Ing") {
				all = append(all, c)
			}
		}
	}
	return all
}

// "print stats": a comment, and in the next line the numbers at the end.
var routerosCounter = regexp.MustCompile(`(?m);;; (?P<name>epf\S*)[^\n]*\n[^\n]*?(?P<bytes>[\d ]*\d)\s{2,}(?P<packets>\d[\d ]*?)\s*$`)

func routerosCounters(text string) []Counter {
	var all []Counter
	for _, m := range routerosCounter.FindAllStringSubmatch(text, -1) {
		bytes, err := strconv.ParseUint(strings.ReplaceAll(m[2], " ", ""), 10, 64)
		packets, wrong := strconv.ParseUint(strings.ReplaceAll(m[3], " ", ""), 10, 64)
		if err == nil && wrong == nil {
			all = append(all, Counter{m[1], packets, bytes})
		}
	}
	return all
}
