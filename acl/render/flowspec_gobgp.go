package render

import (
	"fmt"
	"strings"

	"ippwatch/acl"
)

// flowGoBGP writes commands for a gobgpd that runs. A route of it has no
// name, so that a filter that only counts cannot be told from one that lets pass.
var flowGoBGP = Platform{
	Name:      "flowspec-gobgp",
	Title:     "BGP FlowSpec from GoBGP",
	Proven:    "GoBGP 4.8.0 and BIRD 2.0.12, flows received and withdrawn in a network namespace",
	Authority: flowAuthority + "; GoBGP documentation, flowspec",
	Flows:     true,
	Nameless:  true,
	Write:     writeFlowGoBGP,
}

func writeFlowGoBGP(f acl.Form) (Output, error) {
	if f.CountOnly {
		return Output{}, cannot("count only: a route of GoBGP has no name by which its packets could be told; flowspec-bird has, and filter announce")
	}
	flows, err := Flows(f)
	if err != nil {
		return Output{}, err
	}
	var t, undo text
	t.line("#!/bin/sh -e")
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	undo.line("#!/bin/sh")
	undo.line("# withdraws %s", f.Name)
	for _, one := range flows {
		family := map[acl.Family]string{acl.V4: "ipv4-flowspec", acl.V6: "ipv6-flowspec"}[one.Family]
		action := "accept"
		if one.Drop {
			action = "discard"
		}
		match := gobgpMatch(one)
		t.line("gobgp global rib -a %s add match %s then %s", family, match, action)
		undo.line("gobgp global rib -a %s del match %s", family, match)
	}
	file, back := f.Name+"-gobgp.sh", f.Name+"-gobgp-rollback.sh"
	return Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load:     []string{"ippwatch filter announce POLICY shows the same flows and sends none", "sh " + file},
		Confirm:  []string{"GoBGP has no way back of its own; before loading, from another shell or with at(1):", "(sleep 300; sh " + back + ") &"},
		Counters: []string{
			"gobgp global rib -a ipv4-flowspec (and ipv6-flowspec): what is announced",
			"on the routers: show firewall filter __flowspec_default_inet__ (Junos), show flowspec ipv4 detail (IOS-XR), show filter ip fSpec-0 counters (SR OS)",
		},
		Undo: []string{"sh " + back},
		Notes: append([]string{
			"in gobgpd.toml each neighbor needs afi-safis ipv4-flowspec and ipv6-flowspec",
			"to load it again, run " + back + " first; the routes are gone when gobgpd ends",
		}, flowNotes...),
	}, nil
}

func gobgpMatch(f Flow) string {
	var parts []string
	if f.Dst.IsValid() {
		parts = append(parts, "destination "+f.Dst.String())
	}
	if f.Src.IsValid() {
		parts = append(parts, "source "+f.Src.String())
	}
	parts = append(parts, "protocol "+strings.Join(words(flowProtos(f), func(p string) string { return "==" + p }), " "))
	for _, side := range []struct {
		word  string
		ports acl.Ranges
	}{{"destination-port", f.DPort}, {"source-port", f.SPort}} {
		if side.ports != nil {
			parts = append(parts, side.word+" "+strings.Join(words(side.ports, gobgpRange), " "))
		}
	}
	if f.Initial {
		parts = append(parts, "tcp-flags '=S' '&!A'")
	}
	return strings.Join(parts, " ")
}

func gobgpRange(r acl.Range) string {
	if r.First == r.Last {
		return fmt.Sprintf("==%d", r.First)
	}
	return fmt.Sprintf("'>=%d' '&<=%d'", r.First, r.Last)
}
