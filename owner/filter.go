package owner

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"ippwatch/acl"
	"ippwatch/acl/render"
	"ippwatch/filter"
	"ippwatch/gate"
	"ippwatch/outreach"
)

// hostsShown bounds a filter: proving one takes time with every host.
const hostsShown = 200

// interfaces are names of the kind that each platform has, for the field.
var interfaces = map[string]string{
	"nftables": "eth0", "iptables": "eth0", "pf": "em0", "ios-xe": "GigabitEthernet0/0/0", "ios-xr": "HundredGigE0/0/0/0", "eos": "Ethernet1",
	"junos": "ge-0/0/0", "sros": "to-internet", "routeros": "ether1",
}

type filterSheet struct {
	Base, Query string
	Platforms   []render.Platform
	Platform    string
	Interface   string
	Hosts       []string
	Ports       []uint16
	Wrong       bool // the interface cannot be one
	Made        *filter.Rendered
	Proven      string
	Failed      bool
}

// filter writes the filter of the platform that was chosen, for the hosts of the
// link that are open and nothing else, and proves it.
func (d *desk) filter(w http.ResponseWriter, r *http.Request, v *gate.Visit) error {
	c, r, err := d.come(r, v)
	if err != nil {
		return d.failed(w, r, v, c, err)
	}
	if c.OptedOut {
		return gate.SeeOther(here(r, c))
	}
	q := r.URL.Query()
	s := filterSheet{Base: outreach.PagePath + c.Token, Query: query(r), Platform: q.Get("platform"), Interface: strings.TrimSpace(q.Get("interface"))}
	for _, p := range render.All {
		if !p.Flows { // routes are a provider's
			s.Platforms = append(s.Platforms, p)
		}
	}
	known := func(p render.Platform) bool { return p.Name == s.Platform }
	if !slices.ContainsFunc(s.Platforms, known) {
		s.Platform = ""
	}
	var hosts []netip.Addr
	for _, o := range sorted(c.Cases) {
		if !o.Condition.Open() {
			continue
		}
		if a := o.Addr.Unmap().WithZone(""); !slices.Contains(hosts, a) && len(hosts) < hostsShown {
			hosts = append(hosts, a)
			s.Hosts = append(s.Hosts, a.String())
		}
		if !slices.Contains(s.Ports, o.Port) {
			s.Ports = append(s.Ports, o.Port)
		}
	}
	slices.Sort(s.Ports)
	if s.Platform == "" || len(hosts) == 0 {
		return d.site.Page(w, r, v, "owner-filter", s)
	}
	if s.Interface == "" {
		s.Interface = interfaces[s.Platform]
	}
	if !acl.InterfaceName(s.Interface) {
		s.Wrong = true
		return d.site.Page(w, r, v, "owner-filter", s)
	}
	made, err := d.render(c, s, hosts)
	if err != nil {
		// The name may be one of another platform; that the text is not proven is our
		// mistake, and then it is not handed out.
		d.Log.Warn("no filter for an owner", "link", c.Link.ID, "platform", s.Platform, "err", err.Error())
		s.Failed = true
		return d.site.Page(w, r, v, "owner-filter", s)
	}
	s.Made, s.Proven = &made, made.Platform.Proven
	return d.site.Page(w, r, v, "owner-filter", s)
}

func (d *desk) render(c *call, s filterSheet, hosts []netip.Addr) (filter.Rendered, error) {
	contact := d.Sender.Contact
	if contact == "" {
		contact = "the sender of the mail"
	}
	text := filter.CustomerPolicy(filter.Customer{
		Name: c.Link.Constituent, Hosts: hosts, Interfaces: []string{s.Interface}, Ports: s.Ports, Edge: true, Owner: c.Link.Constituent, Contact: contact,
	}, d.Now())
	policy, err := acl.ParsePolicy("your hosts", []byte(text))
	if err != nil {
		return filter.Rendered{}, err
	}
	return filter.Render(s.Platform, policy.Form(d.Now(), false))
}
