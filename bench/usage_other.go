//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

// What a process uses is read where Linux tells it; run says so before any of
// these is called.
var errLinux = errors.New("only Linux tells what a process uses")

func cpuUsed() (time.Duration, error)             { return 0, errLinux }
func peakMemory() (float64, error)                { return 0, errLinux }
func residentMemory() (float64, error)            { return 0, errLinux }
func childPeak(*os.ProcessState) (float64, error) { return 0, errLinux }
func openFiles(int) int                           { return 0 }
func machine() string                             { return cores() + ", " + goAnd("no Linux") + "." }
