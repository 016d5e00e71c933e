package report

import "ippwatch/exposure"

// Slices are the rows of a day by who may see them.
type Slices struct {
	// By holds, for each constituent, every row that is theirs: a provider and
	// a national CSIRT both see the same host.
	By map[string][]Row
	// Unassigned are the rows that are nobody's.
	Unassigned []Row
}

// Slice deals the rows out. Match names the constituents of an observation, the
// one that is told first at the head: see people.Directory.
func Slice(rows []Row, match func(o *exposure.Observation) []string) Slices {
	s := Slices{By: make(map[string][]Row)}
	for _, r := range rows {
		names := match(&r.Observation)
		if len(names) == 0 {
			r.First = ""
			s.Unassigned = append(s.Unassigned, r)
			continue
		}
		r.First = names[0]
		for _, name := range names {
			s.By[name] = append(s.By[name], r)
		}
	}
	return s
}
