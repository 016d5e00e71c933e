package outpost_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"ippwatch/lab"
	"ippwatch/wire/ipp"
)

// TestDocumentIsKept prints in plain and over TLS: the process that hears
// strangers can do in its jail what it has to.
func TestDocumentIsKept(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	h := lab.NewHost(t, "printer")
	d := start(t, h, "exec "+bin+" sensor --listen :631 --persona cups --data /tmp/data --format ndjson >/tmp/events")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	at := h.Port4(631)
	queue := queueOf(t, client, at)
	for i, scheme := range []string{"http", "https"} {
		document := fmt.Sprintf("%%PDF-1.4 document %d", i)
		body := string(ipp.Request{Operation: ipp.PrintJob, Version: ipp.Version20, ID: 1, URI: "ipp://" + at.String() + queue}.Append(nil)) + document
		resp, err := client.Post(scheme+"://"+at.String()+queue, "application/ipp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || resp.StatusCode != http.StatusOK || len(answer) < 8 || answer[2] != 0 || answer[3] > 2 {
			t.Fatalf("Print-Job: %s, %x, %v", resp.Status, answer, err)
		}
		digest := fmt.Sprintf("%x", sha256.Sum256([]byte(document)))
		await(t, "the event", func() bool { return strings.Contains(h.Run("cat", "/tmp/events"), `"document":{"sha256":"`+digest+`"`) })
		files := strings.Fields(h.Run("find", "/tmp/data/sensor/post/spool", "-name", digest))
		if len(files) != 1 || h.Run("cat", files[0]) != document || !strings.HasPrefix(h.Run("stat", "-c", "%a %U", files[0]), "600 ") {
			t.Errorf("the document is in %q", files)
		}
	}
	d.Stop()
	if d.Wrote("level=ERROR") {
		t.Error("the sensor complains")
	}
}

// queueOf is the first queue that the page of queues names.
func queueOf(t *testing.T, client *http.Client, at netip.AddrPort) string {
	t.Helper()
	resp, err := client.Get("http://" + at.String() + "/printers/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?i)href="(/printers/[a-z0-9_]+)"`).FindSubmatch(page)
	if m == nil {
		t.Fatalf("no queue in %.2000s", page)
	}
	return string(m[1])
}
