//go:build race

package campaign_test

// raceDetector makes tests do less: it is ten times as slow.
const raceDetector = true
