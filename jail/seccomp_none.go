//go:build linux && !(amd64 || arm64 || arm)

package jail

import "errors"

var errProcessor = errors.New("no filter for this processor")

func seccomp(r *Report) error {
	r.lacks("seccomp", errProcessor)
	return nil
}
