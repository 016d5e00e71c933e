package track

import "ippwatch/exposure"

// Steps of the verdict, which are a person's; only Expire is the clock's.
const (
	Accept   Step = "accept"   // the risk is taken, by somebody who may, until a day
	Dismiss  Step = "dismiss"  // it is not what it seems, for a reason
	Withdraw Step = "withdraw" // the verdict is taken back
	Expire   Step = "expire"   // the day has come
)

// rulings is the whole life of a verdict. Nothing that is observed or imported
// is among the steps: a verdict outlives both.
var rulings = map[exposure.Ruling]map[Step]exposure.Ruling{
	exposure.NoRuling:      {Accept: exposure.Accepted, Dismiss: exposure.FalsePositive},
	exposure.Accepted:      {Accept: exposure.Accepted, Dismiss: exposure.FalsePositive, Withdraw: exposure.NoRuling, Expire: exposure.NoRuling},
	exposure.FalsePositive: {Accept: exposure.Accepted, Dismiss: exposure.FalsePositive, Withdraw: exposure.NoRuling},
}

// NextRuling returns the verdict after the step, or [ErrNoTransition].
func NextRuling(r exposure.Ruling, s Step) (exposure.Ruling, error) {
	return follow(exposure.AxisVerdict, rulings, r, s)
}
