package lab

import (
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// A Setting is how a cupsd differs from the one that Debian ships. Settings add up.
type Setting uint

// Settings of a cupsd. The zero value is as shipped: it listens on the loopback
// interface only.
const (
	// Denied listens to everybody and allows nobody: "Order allow,deny"
	// without an Allow.
	Denied Setting = 1 << iota
	// Open listens to everybody and allows everybody to do what the policy allows.
	Open
	// OpenAdmin is Open for the administration pages too, with no protection
	// of /admin/conf and /admin/log.
	OpenAdmin
	// FullTokens tells kernel and architecture in the Server header.
	FullTokens
	// OnlyTLS answers 426 in plain.
	OnlyTLS
)

// A CUPS is the cupsd of a host.
type CUPS struct {
	*Daemon
	host *Host
}

// shipped is the cupsd.conf of Debian's package; the one in /etc may have been
// changed by somebody.
const shipped = "/usr/share/cups/cupsd.conf.default"

// CUPS starts a cupsd on h and waits until it answers. It has no queues.
func (h *Host) CUPS(s Setting) *CUPS {
	h.t.Helper()
	Need(h.t, "cupsd", "lpadmin", "lpstat")
	c := &CUPS{host: h}
	conf, err := os.ReadFile(shipped)
	if err != nil {
		h.t.Fatalf("configure cupsd: %v", err)
	}
	h.write("etc/cupsd.conf", configure(h, string(conf), s))
	h.write("etc/cups-files.conf", "SystemGroup root lpadmin\n"+
		"AccessLog stderr\nErrorLog stderr\nPageLog stderr\n")
	c.Restart()
	if s&OnlyTLS != 0 {
		// It makes its certificate during the first handshake.
		h.shakes("127.0.0.1:631", c.Daemon)
	}
	return c
}

// Restart starts the cupsd again, with the configuration that is there now.
func (c *CUPS) Restart() {
	c.host.t.Helper()
	if c.Daemon != nil {
		c.Stop()
	}
	c.Daemon = c.host.Start("cupsd", "-f")
	c.host.answers("127.0.0.1:631", c.Daemon)
}

// answers waits until something on h accepts connections at the address.
func (h *Host) answers(address string, by *Daemon) {
	h.t.Helper()
	h.await(by.name+" at "+address, func() bool {
		var conn net.Conn
		var err error
		h.room.do(func() { conn, err = net.DialTimeout("tcp", address, time.Second) })
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	}, by)
}

// configure changes the shipped cupsd.conf as s says.
func configure(h *Host, conf string, s Setting) string {
	h.t.Helper()
	replace := func(old, with string) {
		h.t.Helper()
		if !strings.Contains(conf, old) {
			h.t.Fatalf("configure cupsd: no %q in %s", old, shipped)
		}
		conf = strings.Replace(conf, old, with, 1)
	}
	if s&(Denied|Open|OpenAdmin) != 0 {
		replace("Listen localhost:631\n", "Listen *:631\nServerAlias *\n")
	}
	var root []string
	if s&(Open|OpenAdmin) != 0 {
		root = append(root, "Allow all")
	}
	if s&OnlyTLS != 0 {
		root = append(root, "Encryption Required")
	}
	const deny = "\n  Order allow,deny\n"
	const login = "\n  AuthType Default\n  Require user @SYSTEM" + deny
	replace("<Location />"+deny, "<Location />"+deny+strings.Join(root, "\n")+"\n")
	if s&OpenAdmin != 0 {
		replace("<Location /admin>"+deny, "<Location /admin>"+deny+"Allow all\n")
		replace("<Location /admin/conf>"+login+"</Location>\n", "")
		replace("<Location /admin/log>"+login+"</Location>\n", "")
	}
	if s&FullTokens != 0 {
		conf += "ServerTokens Full\n"
	}
	return conf
}

// Certificate gives c a certificate and its key, both in PEM, in place of the
// one that it would sign itself.
func (c *CUPS) Certificate(certificate, key []byte) {
	c.host.t.Helper()
	c.host.write("etc/ssl/"+c.host.Name+".crt", string(certificate))
	c.host.write("etc/ssl/"+c.host.Name+".key", string(key))
	c.Restart()
}

// SharedQueue adds a queue that strangers may see. The arguments are more of
// lpadmin's, such as "-L", "Room 12".
func (c *CUPS) SharedQueue(name, uri string, args ...string) { c.queue(name, uri, "true", args) }

// PrivateQueue adds a queue that is for the host alone.
func (c *CUPS) PrivateQueue(name, uri string, args ...string) { c.queue(name, uri, "false", args) }

func (c *CUPS) queue(name, uri, shared string, args []string) {
	c.host.t.Helper()
	all := []string{"-p", name, "-v", uri, "-m", "raw", "-E", "-o", "printer-is-shared=" + shared}
	c.host.Run("lpadmin", append(all, args...)...)
}

// Remove removes a queue, by the command that owners are told.
func (c *CUPS) Remove(queue string) {
	c.host.t.Helper()
	c.host.Run("lpadmin", "-x", queue)
}

// Queues returns the names of the queues that stand in cupsd, sorted.
func (c *CUPS) Queues() []string {
	c.host.t.Helper()
	var names []string
	// "printer office is idle.  enabled since ..."; nothing when there is none.
	for line := range strings.Lines(c.host.Run("sh", "-c", "LC_ALL=C lpstat -p 2>&1 || true")) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "printer" {
			names = append(names, f[1])
		}
	}
	slices.Sort(names)
	return names
}
