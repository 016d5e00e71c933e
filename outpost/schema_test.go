package outpost_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ippwatch/lab"
)

// TestEventsKeepTheirSchema has strangers of all sorts come over UDP and TCP, and
// validates every event that is shown.
func TestEventsKeepTheirSchema(t *testing.T) {
	lab.Need(t, "ip")
	bin := program(t)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../docs/visit.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, persona := range []string{"cups", "device"} {
		t.Run(persona, func(t *testing.T) {
			h := lab.NewHost(t, persona)
			d := start(t, h, "exec "+bin+" sensor --listen :631 --persona "+persona+" --data /tmp/data --format ndjson --detail 10000 >/tmp/events")
			called := bait(t)
			for i, to := range []string{h.Port4(631).String(), h.Port6(631).String()} {
				packetsOf(t, h, to, 600, called.Addr().String())
				if i == 0 {
					beg(t, h.Port4(631), called.Addr().String())
				}
			}
			d.Stop()
			classes := map[string]int{}
			for line := range strings.Lines(h.Run("cat", "/tmp/events")) {
				value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(line)))
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if err := schema.Validate(value); err != nil {
					t.Errorf("%s\n%v", line, err)
				}
				classes[value.(map[string]any)["class"].(string)]++
			}
			for _, want := range []string{"callback_solicitation", "padded", "delete", "malformed", "print_attempt", "other_protocol"} {
				if classes[want] == 0 {
					t.Errorf("no event of class %s: %v", want, classes)
				}
			}
			if h.Run(bin, "sensor", "report", "--data", "/tmp/data", "--type", "events") != h.Run("cat", "/tmp/events") {
				t.Error("what is reported is not what was shown")
			}
		})
	}
}
