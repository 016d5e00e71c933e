package tally

import "math"

// chiSquare returns the probability of a chi-square value at least x with so
// many degrees of freedom.
func chiSquare(x float64, df int) float64 {
	if df < 1 || math.IsNaN(x) {
		return math.NaN()
	}
	if x <= 0 {
		return 1
	}
	return upperGamma(float64(df)/2, x/2)
}

// upperGamma is the regularised incomplete gamma function Q(a, x): below a+1 the
// series of its complement converges (DLMF 8.7.1), above it the continued
// fraction by the method of Lentz (DLMF 8.9.2).
func upperGamma(a, x float64) float64 {
	const (
		tiny  = 1e-300
		most  = 10_000
		small = 1e-16
	)
	lg, _ := math.Lgamma(a)
	front := math.Exp(a*math.Log(x) - x - lg)
	if x < a+1 {
		term := 1 / a
		sum := term
		for n := 1; n < most && term > sum*small; n++ {
			term *= x / (a + float64(n))
			sum += term
		}
		return 1 - front*sum
	}
	b := x + 1 - a
	c := 1 / tiny
	d := 1 / b
	f := d
	for n := 1; n < most; n++ {
		an := -float64(n) * (float64(n) - a)
		b += 2
		if d = an*d + b; math.Abs(d) < tiny {
			d = tiny
		}
		if c = b + an/c; math.Abs(c) < tiny {
			c = tiny
		}
		d = 1 / d
		step := d * c
		f *= step
		if math.Abs(step-1) < small*10 {
			break
		}
	}
	return front * f
}
