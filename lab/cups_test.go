package lab_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ippwatch/lab"
)

func TestCUPSAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		setting lab.Setting
		status  int // of a GET from outside; 0 for a refused connection
		server  string
		admin   int // status of /admin/log/error_log
	}{
		{"as shipped", 0, 0, "", 0},
		{"default denied", lab.Denied, http.StatusForbidden, "CUPS/2.4 IPP/2.1", http.StatusForbidden},
		{"open", lab.Open, http.StatusOK, "CUPS/2.4 IPP/2.1", http.StatusForbidden},
		{"open administration", lab.OpenAdmin, http.StatusOK, "CUPS/2.4 IPP/2.1", http.StatusOK},
		{"full tokens", lab.Open | lab.FullTokens, http.StatusOK, "CUPS/2.4.2 (Linux ", http.StatusForbidden},
		{"only over TLS", lab.Open | lab.OnlyTLS, http.StatusUpgradeRequired, "CUPS/2.4 IPP/2.1", http.StatusForbidden},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "printhost")
			h.CUPS(tt.setting)
			for _, at := range []netip.AddrPort{h.Port4(631), h.Port6(631)} {
				status, server := get(t, "http://"+at.String()+"/")
				if status != tt.status || !strings.HasPrefix(server, tt.server) {
					t.Errorf("GET %s/ = %d, Server %q, want %d, %q", at, status, server, tt.status, tt.server)
				}
				if status, _ := get(t, "http://"+at.String()+"/admin/log/error_log"); status != tt.admin {
					t.Errorf("GET %s/admin/log/error_log = %d, want %d", at, status, tt.admin)
				}
				if tt.status == 0 {
					continue
				}
				conn, err := tls.Dial("tcp", at.String(), &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Errorf("TLS with %s: %v", at, err)
					continue
				}
				if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != h.Name {
					t.Errorf("certificate of %s is for %q, want %q", at, got, h.Name)
				}
				_ = conn.Close()
			}
		})
	}
}

func TestCertificateIsGiven(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "printhost")
	c := h.CUPS(lab.Open)
	end := time.Date(2020, time.January, 31, 0, 0, 0, 0, time.UTC)
	c.Certificate(selfSigned(t, h.Name, end))
	conn, err := tls.Dial("tcp", h.Port4(631).String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().PeerCertificates[0].NotAfter; !got.Equal(end) {
		t.Errorf("the certificate is good until %s, want %s", got, end)
	}
}

// selfSigned returns a certificate that is good for the month before end, and its key, in PEM.
func selfSigned(t *testing.T, name string, end time.Time) (certificate, key []byte) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    end.AddDate(0, -1, 0),
		NotAfter:     end,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestEveAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want int
	}{
		"open":                {nil, http.StatusOK},
		"with authentication": {[]string{"-A"}, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "printer")
			h.Avahi()
			h.Eve(tt.args...)
			for _, at := range []netip.AddrPort{h.Port4(631), h.Port6(631)} {
				if status, server := get(t, "http://"+at.String()+"/"); status != tt.want || server != "CUPS/2.4.2" {
					t.Errorf("GET %s/ = %d, Server %q, want %d, %q", at, status, server, tt.want, "CUPS/2.4.2")
				}
			}
		})
	}
}

// TestPagesShowWhatIsNotShared is a door beside IPP: the pages of an open cupsd
// are made by programs that ask it from the host itself, so they show a stranger
// what CUPS-Get-Printers keeps from him.
func TestPagesShowWhatIsNotShared(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "printhost")
	h.CUPS(lab.Open).PrivateQueue("boss", "usb://Example/Printer?serial=VNF123", "-L", "Room 99")
	for path, want := range map[string][]string{
		"/printers/":     {"boss", "Room 99"},
		"/printers/boss": {"boss", "Room 99", "serial=VNF123"},
	} {
		resp, err := http.Get("http://" + h.Port4(631).String() + path)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(string(page), text) {
				t.Errorf("GET %s: status %s without %q, want it there", path, resp.Status, text)
			}
		}
	}
}

func TestQueuesComeAndGo(t *testing.T) {
	t.Parallel()
	h := lab.NewHost(t, "printhost")
	c := h.CUPS(lab.Open)
	if got := c.Queues(); len(got) != 0 {
		t.Errorf("a new cupsd has the queues %q, want none", got)
	}
	c.SharedQueue("office", "socket://192.0.2.9:9100", "-L", "Room 12")
	c.PrivateQueue("boss", "usb://Example/Printer?serial=VNF123")
	if got, want := c.Queues(), []string{"boss", "office"}; !slices.Equal(got, want) {
		t.Errorf("Queues() = %q, want %q", got, want)
	}
	c.Restart()
	c.Remove("office")
	if got, want := c.Queues(), []string{"boss"}; !slices.Equal(got, want) {
		t.Errorf("after a restart and a removal, Queues() = %q, want %q", got, want)
	}
}
