package envtest

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

const (
	// logVariable names a file for the operator's log.
	logVariable = "ENVTEST_LOG"
	// lastLines of the log are shown when a test fails.
	lastLines = 40
)

// journal keeps what the operator logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// current is the journal of the story that runs. controller-runtime takes a logger once in the life of a process.
var (
	current   atomic.Pointer[journal]
	setLogger = sync.OnceFunc(func() { ctrl.SetLogger(zap.New(zap.WriteTo(toCurrent{}), zap.UseDevMode(true))) })
)

// toCurrent writes into the current journal.
type toCurrent struct{}

func (toCurrent) Write(p []byte) (int, error) { return current.Load().Write(p) }

func newJournal(t *testing.T) *journal {
	t.Helper()
	j := &journal{}
	current.Store(j)
	setLogger()
	t.Cleanup(func() {
		if path := os.Getenv(logVariable); path != "" {
			must(t, os.WriteFile(path, []byte(j.String()), 0o600))
		}
	})
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// end is what was logged last, without the details.
func (j *journal) end() string {
	var lines []string
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, "\tINFO\t") || strings.Contains(line, "\tERROR\t") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-lastLines):], "")
}
