package filter

import (
	"fmt"

	"ippwatch/acl"
)

// Lint explains the risks of a filter that is in use, as far as it was
// understood.
func Lint(got acl.Filter) []acl.Risk {
	var all []acl.Risk
	for _, s := range got.Stages {
		all = append(all, lintRules(s.Rules)...)
	}
	families, drops := acl.Family(0), false
	for _, s := range got.Stages {
		f, some := dropped(s)
		families, drops = families|f, drops || some
	}
	if drops && families != acl.V4|acl.V6 {
		all = append(all, acl.Risk{
			About: "families", Risk: fmt.Sprintf("only %s packets are dropped", families),
			Advice: "the other family is open: a host that has both is reached over the other one",
		})
	}
	for _, l := range got.Unverified {
		all = append(all, acl.Risk{Line: l.Number, About: "unverified", Risk: l.Text, Advice: l.Why})
	}
	return all
}

// dropped tells of which families a stage drops something.
func dropped(s acl.Stage) (f acl.Family, some bool) {
	on := s.On.Families()
	if s.Default == acl.Drop {
		return on, true
	}
	var look func([]acl.Rule)
	look = func(rules []acl.Rule) {
		for _, r := range rules {
			if r.Action == acl.Drop && !r.Match.Never {
				f, some = f|r.Match.Families()&on, true
			}
			look(r.Rules)
		}
	}
	look(s.Rules)
	return f, some
}

func lintRules(rules []acl.Rule) []acl.Risk {
	var all []acl.Risk
	for _, r := range rules {
		if r.Match.SPort != nil && r.Match.DPort == nil && (r.Action == acl.Drop || r.Action == acl.Permit) {
			risk := acl.Risk{
				Line: r.Line, About: "source port", Risk: "drops by the source port alone: " + r.Match.String(),
				Advice: "answers of servers on the Internet come from their port, and DNS answers go to whatever port a client took; match the destination port",
			}
			if r.Action == acl.Permit {
				risk.Risk = "permits by the source port alone: " + r.Match.String()
				risk.Advice = "a sender chooses its source port: whoever sends from it passes to every port"
			}
			all = append(all, risk)
		}
		if r.Log != (acl.Rate{}) && r.Log.N == 0 {
			all = append(all, acl.Risk{
				Line: r.Line, About: "log", Risk: "logs every packet",
				Advice: "on an edge the log falls over with the attack that it tells of: bound the rate, and count",
			})
		}
		if r.Match.Ext == acl.Without && r.Action == acl.Drop {
			all = append(all, acl.Risk{
				Line: r.Line, About: "extension headers", Risk: "looks at the next header of IPv6 alone",
				Advice: "the same packet behind eight bytes of hop-by-hop or destination options passes: match the upper layer (nft meta l4proto, Junos payload-protocol)",
			})
		}
		all = append(all, lintRules(r.Rules)...)
	}
	return all
}
