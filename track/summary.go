package track

import "ippwatch/exposure"

// A Summary counts what a call changed.
type Summary struct {
	Observations int `json:"observations"`
	Sightings    int `json:"sightings"` // exposures seen, the new ones included
	New          int `json:"new"`
	Back         int `json:"back"`   // seen again after they were closed, silent or lapsed
	Clean        int `json:"clean"`  // found closed for the first time
	Fixed        int `json:"fixed"`  // found closed again, at least a day later
	Silent       int `json:"silent"` // a complete scan met silence
	Lapsed       int `json:"lapsed"`
}

func (s *Summary) count(t exposure.Transition) {
	from, to := exposure.Condition(t.From), exposure.Condition(t.To)
	switch to {
	case exposure.Reported, exposure.Confirmed:
		switch from {
		case unborn:
			s.New++
		case exposure.Reported, exposure.Confirmed:
		default:
			s.Back++
		}
	case exposure.OneClean:
		s.Clean++
	case exposure.Fixed:
		s.Fixed++
	case exposure.NotSeen:
		s.Silent++
	case exposure.Lapsed:
		s.Lapsed++
	}
}

func (s *Summary) add(b Summary) {
	s.Observations += b.Observations
	s.Sightings += b.Sightings
	s.New += b.New
	s.Back += b.Back
	s.Clean += b.Clean
	s.Fixed += b.Fixed
	s.Silent += b.Silent
	s.Lapsed += b.Lapsed
}
