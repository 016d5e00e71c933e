//go:build !unix

package apply

import "os/exec"

// detach has nothing to do where there is no nft.
func detach(*exec.Cmd) {}
