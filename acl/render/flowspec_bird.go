package render

import (
	"fmt"
	"strings"

	"ippwatch/acl"
)

// flowBird writes a file that bird.conf includes: two tables of flows, and a
// static protocol for each rule, by which the rule can be withdrawn alone.
var flowBird = Platform{
	Name:      "flowspec-bird",
	Title:     "BGP FlowSpec from BIRD 2",
	Proven:    "BIRD 2.0.12 and GoBGP 4.8.0, flows received and withdrawn in a network namespace",
	Authority: flowAuthority + "; BIRD User's Guide, 5.14 Static and 4.2 Routes (flow4, flow6)",
	Flows:     true,
	Write:     writeFlowBird,
}

func writeFlowBird(f acl.Form) (Output, error) {
	flows, err := Flows(f)
	if err != nil {
		return Output{}, err
	}
	if strings.Trim(f.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return Output{}, cannot("%s: a name of BIRD has letters, digits and underscores", f.Name)
	}
	var t, undo text
	t.line("# %s: exploitable ports, %s. Made by ippwatch filter render; do not edit.", f.Name, mode(f))
	t.line("# bird.conf: include \"%s-bird.conf\"; and in each protocol bgp that announces it", f.Name)
	t.line("#   flow4 { table %s_flow4; import none; export all; };", f.Name)
	t.line("#   flow6 { table %s_flow6; import none; export all; };", f.Name)
	t.line("flow4 table %s_flow4;", f.Name)
	t.line("flow6 table %s_flow6;", f.Name)
	for _, r := range f.Rules {
		some := false
		for _, family := range families(r) {
			var routes []Flow
			for _, one := range flows {
				if one.Rule == r.Name && one.Family == family {
					routes = append(routes, one)
				}
			}
			if len(routes) > 0 {
				t.comment("#", r.Why)
				birdProtocol(&t, f, r, family, routes)
				some = true
			}
		}
		if !some {
			t.comment("# of no drop an exception:", r.Why)
			birdProtocol(&t, f, r, families(r)[0], nil)
		}
	}
	undo.line("# takes %s off: in the place of %s-bird.conf, for birdc configure", f.Name, f.Name)
	undo.line("# the tables stay, since protocols of bird.conf name them")
	undo.line("flow4 table %s_flow4;", f.Name)
	undo.line("flow6 table %s_flow6;", f.Name)
	file, back := f.Name+"-bird.conf", f.Name+"-bird-rollback.conf"
	return Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load:     []string{"bird -p -c /etc/bird/bird.conf", "birdc configure check"},
		Confirm:  []string{"birdc configure timeout 300", "birdc configure confirm within 300 seconds keeps it; otherwise BIRD goes back by itself"},
		Counters: []string{
			"birdc show route table " + f.Name + "_flow4 (and _flow6): what is announced",
			"on the routers: show firewall filter __flowspec_default_inet__ (Junos), show flowspec ipv4 detail (IOS-XR), show filter ip fSpec-0 counters (SR OS)",
		},
		Undo:  []string{"birdc disable \"" + f.Name + "_*\" withdraws at once", "cp " + back + " " + file + " && birdc configure"},
		Notes: append([]string{"one rule alone: birdc disable " + f.Name + "_in_tcp_4"}, flowNotes...),
	}, nil
}

func birdProtocol(t *text, f acl.Form, r acl.Rule, family acl.Family, flows []Flow) {
	digit := map[acl.Family]string{acl.V4: "4", acl.V6: "6"}[family]
	t.line("protocol static %s_%s {", r.Name, digit)
	t.line("\tflow%s { table %s_flow%s; };", digit, f.Name, digit)
	for _, one := range flows {
		// traffic-rate-bytes 0 (RFC 8955, section 7.1): drop. No community: accept.
		action := ""
		if one.Drop {
			action = " { bgp_ext_community.add((generic, 0x80060000, 0x0)); }"
		}
		t.line("\troute flow%s { %s }%s;", digit, birdMatch(one), action)
	}
	t.line("}")
}

func birdMatch(f Flow) string {
	var parts []string
	if f.Dst.IsValid() {
		parts = append(parts, "dst "+f.Dst.String()+";")
	}
	if f.Src.IsValid() {
		parts = append(parts, "src "+f.Src.String()+";")
	}
	proto := map[acl.Family]string{acl.V4: "proto", acl.V6: "next header"}[f.Family]
	parts = append(parts, proto+" "+strings.Join(words(f.Proto, func(p acl.Range) string { return fmt.Sprintf("= %d", p.First) }), " || ")+";")
	// dport is type 5, sport type 6: BIRD wants them in this order.
	for _, side := range []struct {
		word  string
		ports acl.Ranges
	}{{"dport", f.DPort}, {"sport", f.SPort}} {
		if side.ports != nil {
			parts = append(parts, side.word+" "+strings.Join(words(side.ports, birdRange), " || ")+";")
		}
	}
	if f.Initial {
		parts = append(parts, "tcp flags 0x02/0x12;")
	}
	return strings.Join(parts, " ")
}

func birdRange(r acl.Range) string {
	if r.First == r.Last {
		return fmt.Sprintf("= %d", r.First)
	}
	return fmt.Sprintf(">= %d && <= %d", r.First, r.Last)
}
