//go:build !race

package year_test

const scaled = false
