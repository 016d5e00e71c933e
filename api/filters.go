package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"ippwatch/acl"
	"ippwatch/acl/render"
	v1 "ippwatch/api/v1"
	"ippwatch/filter"
	"ippwatch/gate"
)

type renderIn struct{ Body v1.RenderOrder }

type checkIn struct{ Body v1.CheckOrder }

// proof is what stands behind every text that is handed out.
const proof = "The text was read back by a reader that shares nothing with the writer: text and policy treat every packet alike."

func (d *door) filters() {
	add(d, op{
		method: "GET", path: "/filters/platforms", id: "list-platforms", tag: "filters", roles: named, summary: "List the platforms for which filters are written and read",
	}, func(context.Context, *gate.Visit, *none) (v1.Page[v1.Platform], error) {
		page := v1.Page[v1.Platform]{Items: []v1.Platform{}}
		for _, p := range render.All {
			page.Items = append(page.Items, v1.Platform{Name: p.Name, Title: p.Title, Checked: checked(p), Authority: p.Authority, Most: p.Most})
		}
		return page, nil
	})
	add(d, op{
		method: "POST", path: "/filters/render", id: "render-filter", tag: "filters", roles: named, summary: "Write the filter of a policy, proven",
		about:   "Nothing is kept and nothing is loaded. What cannot be proven is not handed out (422).",
		example: `{"platform": "nftables", "policy": "networks: [198.51.100.0/24]\ninterfaces: [wan]\n"}`, costly: true, maxBody: 2 << 20, written: "nothing: it is computed",
	}, d.render)
	add(d, op{
		method: "POST", path: "/filters/check", id: "check-filter", tag: "filters", roles: named, summary: "Say which packets of a policy a filter in use lets pass",
		about:   "Each with one packet as a witness. With a line that could change the answer and is not understood, nothing is called closed.",
		example: `{"platform": "nftables", "interfaces": ["wan"], "files": [{"name": "running.nft", "body": "table inet filter {}"}]}`, costly: true, maxBody: 8 << 20, written: "nothing: it is computed",
	}, d.check)
}

func checked(p render.Platform) string {
	if p.Proven == "" {
		return filter.Unverified
	}
	return p.Proven
}

func known(platform string) error {
	if !filter.Has(platform) {
		return gate.Invalid("body.platform", "want one of %s", strings.Join(filter.Names(), ", "))
	}
	return nil
}

func (d *door) render(_ context.Context, v *gate.Visit, in *renderIn) (v1.Rendered, error) {
	if err := known(in.Body.Platform); err != nil {
		return v1.Rendered{}, err
	}
	p, err := acl.ParsePolicy("policy", []byte(in.Body.Policy))
	if err != nil {
		return v1.Rendered{}, gate.Invalid("body.policy", "%s", err)
	}
	r, err := filter.Render(in.Body.Platform, p.Form(v.At, !in.Body.Enforce))
	if errors.Is(err, acl.ErrCannot) {
		return v1.Rendered{}, gate.Invalid("body.platform", "%s", err)
	}
	if err != nil {
		return v1.Rendered{}, &gate.Problem{Status: http.StatusUnprocessableEntity, Code: "unproven", Detail: err.Error()}
	}
	res := v1.Rendered{
		Platform: r.Platform.Name, Checked: checked(r.Platform), Proof: proof, CountOnly: r.Form.CountOnly, Files: textsOf(r.Texts), Rollback: textsOf(r.Rollback),
		Load: r.Load, Confirm: r.Confirm, Counters: r.Counters, Undo: r.Undo, Notes: r.Notes,
	}
	for _, e := range p.Exceptions {
		if !e.Holds(v.At) {
			res.Notes = append(res.Notes, fmt.Sprintf("line %d: the exception %s expired on %s and is left out", e.Line, e.Ticket, e.LastDay()))
		}
	}
	return res, nil
}

func textsOf(texts []acl.Text) []v1.Text {
	out := []v1.Text{}
	for _, t := range texts {
		out = append(out, v1.Text(t))
	}
	return out
}

func (d *door) check(_ context.Context, v *gate.Visit, in *checkIn) (v1.Check, error) {
	res := v1.Check{Stages: []string{}, Passes: []v1.Passage{}, Blocked: []v1.Passage{}, Unverified: []v1.Line{}}
	if err := known(in.Body.Platform); err != nil {
		return res, err
	}
	at := acl.Attach{Profile: acl.Edge}
	var p acl.Policy
	if in.Body.Policy != "" {
		var err error
		if p, err = acl.ParsePolicy("policy", []byte(in.Body.Policy)); err != nil {
			return res, gate.Invalid("body.policy", "%s", err)
		}
		at = acl.Attach{Profile: p.Profile, Interfaces: p.Interfaces}
	}
	if in.Body.Profile != "" {
		at.Profile = acl.Profile(in.Body.Profile)
	}
	for i, name := range in.Body.Interfaces {
		if !acl.InterfaceName(name) {
			return res, gate.Invalid(fmt.Sprintf("body.interfaces[%d]", i), "want the name of an interface as the platform has it")
		}
	}
	if in.Body.Interfaces != nil {
		at.Interfaces = in.Body.Interfaces
	}
	if at.Profile != acl.Host && len(at.Interfaces) == 0 {
		return res, gate.Invalid("body.interfaces", "a filter stands at one, as the platform calls it")
	}
	if in.Body.Policy == "" {
		p = filter.AnyNetwork(at)
	}
	var texts []acl.Text
	for _, t := range in.Body.Files {
		texts = append(texts, acl.Text(t))
	}
	seen, err := filter.Read(in.Body.Platform, texts, at)
	if err != nil {
		return res, gate.Invalid("body.files", "%s", err)
	}
	r := filter.Check(p.Form(v.At, false), seen)
	res.Fine = r.Fine()
	res.Stages = append(res.Stages, r.Stages...)
	for _, l := range r.Leaks {
		res.Passes = append(res.Passes, passage(l))
	}
	for _, l := range r.Blocked {
		res.Blocked = append(res.Blocked, passage(l))
	}
	for _, l := range r.Unverified {
		res.Unverified = append(res.Unverified, v1.Line{File: l.File, Line: l.Number, Text: l.Text, Why: l.Why})
	}
	return res, nil
}

func passage(l filter.Leak) v1.Passage {
	return v1.Passage{Interface: l.Interface, Packets: l.Packets.String(), Witness: l.Witness.String(), Rule: l.Rule, By: l.Decided(), Unsure: l.By.Unsure}
}
