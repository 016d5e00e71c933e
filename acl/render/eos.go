package render

import (
	"fmt"

	"ippwatch/acl"
)

// eos writes named lists with numbered lines. There are no groups of addresses:
// a list of prefixes is as many lines.
var eos = Platform{
	Name:      "eos",
	Title:     "Arista EOS",
	Authority: "Arista EOS User Manual, ACLs and Route Maps",
	Bound:     true,
	Most:      mostACE,
	Write:     writeEOS,
}

func writeEOS(f acl.Form) (Output, error) {
	style := func(_ acl.Rule, _ string, nets acl.Nets, family acl.Family) []string {
		if nets.Any() {
			return []string{"any"}
		}
		return words(nets.Prefixes(family), acePrefix)
	}
	lists, err := aceLists(f, style, aceAny{acl.V4: "ip", acl.V6: "ipv6"})
	if err != nil {
		return Output{}, err
	}
	var t, undo, gone text
	aceComments(&t, f, "EOS")
	undo.line("! takes %s off", f.Name)
	for _, l := range lists {
		t.line("%s access-list %s", wordEOS(l.family), l.name)
		t.line("   counters per-entry")
		for i, line := range l.lines {
			mark := ""
			if line.remark {
				mark = "remark "
			}
			t.line("   %d %s%s", 10*(i+1), mark, line.words)
		}
		t.line("!")
		gone.line("no %s access-list %s", wordEOS(l.family), l.name)
	}
	for _, iface := range f.At.Interfaces {
		t.line("interface %s", iface)
		undo.line("interface %s", iface)
		for _, l := range lists {
			t.line("   %s", bindWordsEOS(l))
			undo.line("   no %s", bindWordsEOS(l))
		}
		t.line("!")
		undo.line("!")
	}
	undo.WriteString(gone.String())
	file, back := f.Name+"-eos.cfg", f.Name+"-eos-rollback.cfg"
	return Output{
		Texts:    []acl.Text{{Name: file, Body: t.String()}},
		Rollback: []acl.Text{{Name: back, Body: undo.String()}},
		Load: []string{
			"configure session " + f.Name,
			"copy flash:" + back + " session-config   (when an older one of this name is there; nothing happens before the commit)",
			"copy flash:" + file + " session-config", "show session-config diffs",
		},
		Confirm: []string{
			"commit timer 00:05:00   (in five minutes all is as before)",
			"configure session " + f.Name + " commit   (when printing and everything else still works), write memory",
		},
		Counters: words(lists, func(l aceList) string { return fmt.Sprintf("show %s access-lists %s", wordEOS(l.family), l.name) }),
		Undo:     []string{"configure session " + f.Name + "-off", "copy flash:" + back + " session-config", "commit"},
		Notes: append([]string{
			"EOS prints 631 as ipp",
			"counters: per-entry ones take room in the TCAM, and some boxes want hardware counter feature acl in; show hardware capacity tells what is left",
			"a list for what goes out (access-group out) is not there on every box, nor for IPv6: EOS says so at the commit",
			"IPv6: how deep a chip looks behind extension headers differs between the families of boxes: send a probe behind a hop-by-hop header before you trust it",
		}, aceNotes(f, lists)...),
	}, nil
}

func wordEOS(f acl.Family) string { return map[acl.Family]string{acl.V4: "ip", acl.V6: "ipv6"}[f] }

func bindWordsEOS(l aceList) string {
	way := "out"
	if l.arrives {
		way = "in"
	}
	return fmt.Sprintf("%s access-group %s %s", wordEOS(l.family), l.name, way)
}
