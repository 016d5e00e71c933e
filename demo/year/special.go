package year

import (
	"context"
	"time"

	"ippwatch/exposure"
)

// agents are what hosts of the special report say of themselves.
var agents = []string{
	"CUPS/2.4.2 (Linux 6.1.0-25-amd64; x86_64) IPP/2.0", "CUPS/2.3.3op2 (Linux 5.10.0-32-amd64; x86_64) IPP/2.0",
	"CUPS/2.4.7 (Linux 6.8.0-45-generic; x86_64) IPP/2.0", "CUPS/2.2.10 (Linux 4.19.0-27-amd64; x86_64) IPP/2.0",
	"CUPS/2.4.1 (Linux 5.15.0-122-generic; x86_64) IPP/2.0", "CUPS/2.3.1 (Linux 5.4.0-196-generic; x86_64) IPP/2.0",
}

// special is the report of 2024-09-27, as a feed tells it: every host once, from
// one evening. It makes observations and no cases: those of the constituency come
// from its own scans.
func (w *writer) special(ctx context.Context) error {
	templates := make([]exposure.Observation, len(agents))
	for i, agent := range agents {
		templates[i] = calls(agent)
		t := &templates[i]
		t.Source, t.Vantage, t.Run = exposure.Shadowserver, "", "special-"+Special.Format(time.DateOnly)
		t.Callback = &exposure.Callback{UserAgent: agent}
		t.Feed = &exposure.FeedRow{Type: "special", Columns: map[string]string{"public_source": "generated", "status": "vulnerable"}}
	}
	dice := w.dice(20240927)
	rows := 0
	var all []exposure.Observation
	for _, b := range blocks() {
		for n := range w.ofCountry(b) {
			o := templates[dice.IntN(len(templates))]
			o.Addr = b.at(n)
			o.Where.Country = b.country
			o.Where.ASN, o.Where.ASName = network(b.number, n)
			o.Observed = Special.Add(12*time.Hour + time.Duration(dice.IntN(6*3600))*time.Second)
			o.Received = Special.Add(30 * time.Hour)
			o.ID = id(3, uint64(b.number), uint64(n)) //nolint:gosec // both are small
			all = append(all, o)
			rows++
		}
		if len(all) >= batch || b.number == len(blocks())-1 {
			if _, err := w.archive.Append(ctx, all); err != nil {
				return err
			}
			all = all[:0]
		}
	}
	return w.store.PutIntake(ctx, exposure.Intake{
		Source: exposure.Shadowserver, Type: "special", File: "2024-09-27-special-generated-simulated.csv", Begun: Special.Add(30 * time.Hour),
		Ended: Special.Add(30*time.Hour + time.Minute), Outcome: exposure.Taken, Rows: rows, New: rows, Day: Special, Ref: "generated special",
	}, nil)
}

// ofCountry is how many hosts of the report stand there.
func (w *writer) ofCountry(b block) int {
	if !w.Scaled {
		return b.size
	}
	return max(b.size*w.size()/Published, 1)
}
