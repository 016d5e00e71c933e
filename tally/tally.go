// Package tally counts what became of exposures: how long they stayed open,
// whether telling people helps, and whom to call first. It is pure: values in,
// figures out.
package tally

import "time"

// Few is the smallest number of cases for which a figure is given. Below it one
// case more or less moves a share by over ten points, and the figure says "too
// few" instead.
const Few = 10

// Thin is the smallest number of cases that must still be followed at a time for
// the curve to be read there: behind it a single fix moves the curve by over a
// fifth.
const Thin = 5

// z95 is the quantile of the normal distribution for an interval of 95 %.
const z95 = 1.959963984540054

const hoursPerDay = 24

// days is a duration as the figures give it.
func days(d time.Duration) float64 { return d.Hours() / hoursPerDay }
