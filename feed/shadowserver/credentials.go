package shadowserver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// DefaultURI is where the API is.
const DefaultURI = "https://transform.shadowserver.org/api2/"

// Credentials are who we are to the API. They never go into a log or an error.
type Credentials struct{ key, secret, uri string }

// NewCredentials returns credentials; an empty uri is [DefaultURI].
func NewCredentials(key, secret, uri string) Credentials {
	if uri == "" {
		uri = DefaultURI
	}
	return Credentials{key, secret, strings.TrimSuffix(uri, "/") + "/"}
}

// String hides them, wherever they may be printed.
func (Credentials) String() string { return "credentials" }

// GoString hides them as [Credentials.String] does.
func (c Credentials) GoString() string { return c.String() }

// Names of the environment's variables.
const (
	EnvKey    = "SHADOWSERVER_API_KEY"
	EnvSecret = "SHADOWSERVER_API_SECRET" //nolint:gosec // the name, not the secret
	EnvURI    = "SHADOWSERVER_API_URI"
)

// A hinted is an error with what would help against it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Unwrap() error { return h.error }

const howToName = "write [api], key = ..., secret = ... into the file, or set " + EnvKey + " and " + EnvSecret

// ReadCredentials reads them from the environment, or else from the file, whose
// form is that of Shadowserver's own tools: ~/.shadowserver.api.
func ReadCredentials(file string, getenv func(string) string) (Credentials, error) {
	if key, secret := getenv(EnvKey), getenv(EnvSecret); key != "" && secret != "" {
		return NewCredentials(key, secret, getenv(EnvURI)), nil
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, &hinted{fmt.Errorf("read the key of the API: %w", err), howToName}
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("read the key of the API: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return Credentials{}, &hinted{
			fmt.Errorf("read the key of the API: %s has mode %04o: others can read it", file, info.Mode().Perm()),
			"chmod 0600 " + file,
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Credentials{}, fmt.Errorf("read the key of the API: %w", err)
	}
	return parseCredentials(file, text)
}

// parseCredentials reads the section [api] of an ini file. Its errors do not
// repeat what stands there.
func parseCredentials(file string, text []byte) (Credentials, error) {
	values := make(map[string]string)
	section, n := "", 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.ToLower(strings.Trim(line, "[]"))
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return Credentials{}, &hinted{fmt.Errorf("%s: line %d: want NAME = VALUE", file, n), howToName}
		}
		if section == "api" {
			values[strings.ToLower(strings.TrimSpace(name))] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	if err := lines.Err(); err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range []string{"key", "secret"} {
		if values[name] == "" {
			return Credentials{}, &hinted{fmt.Errorf("%s: no %s in section [api]", file, name), howToName}
		}
	}
	return NewCredentials(values["key"], values["secret"], values["uri"]), nil
}
