package tally

import (
	"fmt"
	"strings"
)

// A Definition says what a figure counts, and what it does not.
type Definition struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Definitions are those of all figures; docs/metrics.md has the same.
var Definitions = []Definition{
	{"case", "A spell: one exposure (address, transport, port and rule) in one cycle, from its opening to its end. An exposure that was fixed and is seen again is a second case. Several rules at one door, and several doors of one host, are several cases that are often closed by one hand: intervals of one group take them as independent and are too narrow by that."},
	{"clock", "Age in days since we saw it open first in this cycle. How long it had been open before that, nobody knows. What the first look found (the first 24 hours of the store) is longer-lived than what is new, because short lives are seldom met: it is counted, the number is told, and --new-only leaves it out."},
	{"event", "fixed: two of our own clean probes at least 24 hours apart, or an audit from the host. It lies between the last look that found the hole open and the first clean probe; the second only proves it. By default the middle is taken; --turnbull makes no guess. Of an earlier cycle only the changes are kept, not each sighting, so its interval begins with its last change. A device that moved to another address takes its history along (track ties it by its printer-uuid)."},
	{"censored", "Not over when we last knew it open, and followed until then: open, one_clean (a first clean probe proves nothing yet), silent (silence is not closed), lapsed (unseen for 60 days), filtered (closed from outside, open within: a competing end), accepted (followed until the risk was accepted, if that still stood at the end). Silence and lapse may hide fixes, so the curve is a lower bound of what is closed if they do."},
	{"left out", "false_positive: there was no hole. All cycles of the exposure are left out as long as the verdict stands."},
	{"--since", "Cases that were open before that time enter when it comes, at the age that they have then (left truncation), and those that were over by then are left out. The Turnbull estimate knows no late entry: with it, only what was opened since then is counted."},
	{"half-life", "The age at which half of the cases are closed: the median of the Kaplan-Meier curve (right-censored), with the 95 % interval of Brookmeyer and Crowley from Greenwood's variance and the log-log transformation. \"> 45 d\" means that it is not reached within the 45 days for which at least 5 cases were followed. With --turnbull the interval is that in which the median must lie: it says what the data cannot tell, and is no interval of confidence."},
	{"fixed at 14, 30, 90 d", "One less the curve at that age, with the log-log interval of 95 %; with --turnbull the bounds between which the data leave it."},
	{"time to notice", "Median days from seen open to the first notice in the cycle (contact none to notified), by Kaplan and Meier; who was not told yet, or whose hole closed before, is censored. Cases held out on purpose and cases older than --since are not counted."},
	{"time to acknowledge", "Median days from the first notice to the first acknowledgement or claim of the owner, in the same way."},
	{"delivered", "Of the cases whose owner was told, those where the last notice did not come back. Wilson interval of 95 %. A mail that nobody reads counts as delivered."},
	{"bounced", "Of the notices (steps to notified), those that came back (steps to undeliverable). One mail about ten cases counts ten times. After an answer neither is counted any more."},
	{"reopened", "Share of the fixes after which the hole was seen again within 90 days, by Kaplan and Meier; a fix that is younger is censored at its age. It takes for granted that we went on looking."},
	{"exposure-days", "The sum of the days on which the holes were known open, from first seen to the middle of the end, or to last seen; within --since."},
	{"told, held_out", "--holdout draws recipients by a hash (see docs/metrics.md). The arms are compared as they were drawn, whether or not a notice went out (intention to treat), and on the clock of the case, not of the notice: to compare the told with those who were not told yet would count the time before the notice for one side only."},
	{"log-rank", "Whether groups close at the same pace, as chi-square and p. Cases that end between two probes count at the middle. Given for 2 to 12 groups and at least 5 events. For arms there is a second one, for what was drawn: all cases of a recipient are one unit, and the variance is that over all draws of as many units. That is the one to believe."},
	{"difference", "Among the told less among the held out: the share closed in points, and the cumulative hazard (Nelson-Aalen), at 14 and 30 days, with 95 % intervals that take cases as independent."},
	{"too few, too early", fmt.Sprintf("A figure that rests on fewer than %d cases is \"too few\", and so is a median with fewer than %d events, and whatever rests on fewer than %d cases that were followed from their beginning (with --since: new ones). At an age the curve is read where %d cases are still followed, and behind that only if no more than %d are open by then; an age that no case has reached is \"too early\".", Few, Thin, Thin, Thin, Thin)},
}

// Key is the name of a definition in letters, digits and "_", by which a language
// finds its text.
func Key(d Definition) string {
	return strings.Join(strings.FieldsFunc(d.Name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), "_")
}
