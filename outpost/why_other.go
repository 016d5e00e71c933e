//go:build !unix

package outpost

func noIPv6(error) bool { return false }

func whyNot(error) string { return "ippwatch sensor --help" }

// lock takes nothing here.
func lock(string) (free func(), err error) { return func() {}, nil }
