package harness

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// auditLog holds one call of each sort that Writes must tell apart, and half a line that is still being written.
const auditLog = `
{"verb":"patch","requestReceivedTimestamp":"2026-01-01T00:00:10.000000Z","objectRef":{"resource":"configmaps","name":"write"},"user":{"username":"me"}}
{"verb":"create","requestReceivedTimestamp":"2026-01-01T00:00:11.000000Z","objectRef":{"resource":"serviceaccounts","subresource":"token","name":"token"},"user":{"username":"me"}}
{"verb":"update","requestReceivedTimestamp":"2026-01-01T00:00:12.000000Z","objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io","name":"lease"},"user":{"username":"me"}}
{"verb":"create","requestReceivedTimestamp":"2026-01-01T00:00:13.000000Z","objectRef":{"resource":"subjectaccessreviews"},"user":{"username":"me"}}
{"verb":"create","requestReceivedTimestamp":"2026-01-01T00:00:14.000000Z","objectRef":{"resource":"pods","subresource":"portforward","name":"istiod"},"user":{"username":"me"}}
{"verb":"delete","requestReceivedTimestamp":"2026-01-01T00:00:15.000000Z","objectRef":{"resource":"pods","name":"of-others"},"user":{"username":"you"}}
{"verb":"delete","requestReceivedTimestamp":"2026-01-01T00:05:00.000000Z","objectRef":{"resource":"pods","name":"too-late"},"user":{"username":"me"}}
{"verb":"delete","requestReceivedTimestamp":"2026-01-01T00:00`

func TestWritesAreThoseOfOneIdentityInThePeriod(t *testing.T) {
	e := &Env{Root: t.TempDir()}
	dir := filepath.Join(e.Root, "bin", "lab")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "east-audit.log"), []byte(auditLog), 0o600); err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	writes, total, err := e.Writes("east", "me", from, from.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range writes {
		names = append(names, w.ObjectRef.Name)
	}
	if diff := cmp.Diff([]string{"write", "token"}, names); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if total != 6 {
		t.Errorf("want 6 calls in the period, got %d", total)
	}
}
