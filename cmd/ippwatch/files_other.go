//go:build !unix

package main

// raiseFiles has nothing to do: this system has no limit worth speaking of.
func raiseFiles(int) error { return nil }

// freeDisk is not known here.
func freeDisk(string) (free uint64, known bool) { return 0, false }
