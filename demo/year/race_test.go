//go:build race

package year_test

// scaled: the race detector would need a minute for the whole special report.
const scaled = true
