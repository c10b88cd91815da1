package envtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
)

const (
	// quiet is how long nothing may be written.
	quiet = 15 * time.Second
	// calm is how long nothing has been written when a change is over: events are written after what they tell of.
	calm = time.Second
)

// steadyState reads the audit logs. A mesh that is as it should be costs no writes, not even dry runs. A new instance of
// the operator knows nothing yet and may ask the API server for a dry run, but has nothing to change.
func (s *suite) steadyState(t *testing.T) {
	s.awaitCalm(t)
	t.Run("no writes", func(t *testing.T) { s.staysQuiet(t, time.Now(), call.isWrite) })
	t.Run("no writes by a new instance", func(t *testing.T) {
		restart := time.Now()
		s.operator.stop(t)
		s.operator = s.startOperator(t)
		s.staysQuiet(t, restart, call.changes)
		for _, name := range both {
			all, dry := len(s.members[name].calls(t, restart)), len(s.members[name].writes(t, restart))
			if all == 0 {
				t.Errorf("%s: the new instance has not called at all, so its silence proves nothing", name)
			}
			t.Logf("%s: the new instance made %d calls, %d of them dry runs", name, all, dry)
		}
	})
}

// awaitCalm waits until the operator has written nothing for a moment.
func (s *suite) awaitCalm(t *testing.T) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() []string { return s.callsSince(t, time.Now().Add(-calm), call.isWrite) }).
		WithTimeout(deadline).WithPolling(polling).Should(gomega.BeEmpty())
}

// staysQuiet fails when the operator makes such a call anywhere, from a moment on until the quiet period is over.
func (s *suite) staysQuiet(t *testing.T, since time.Time, loud func(call) bool) {
	t.Helper()
	gomega.NewWithT(t).Consistently(func() string { return strings.Join(s.callsSince(t, since, loud), "\n") }).
		WithTimeout(quiet).WithPolling(time.Second).Should(gomega.BeEmpty())
}

// callsSince describes the calls of a kind that the operator has made anywhere since a moment.
func (s *suite) callsSince(t *testing.T, since time.Time, kind func(call) bool) []string {
	t.Helper()
	var out []string
	for _, c := range s.clusters() {
		for _, one := range c.calls(t, since) {
			if kind(one) {
				out = append(out, fmt.Sprintf("%s: %s", c.name, one))
			}
		}
	}
	return out
}
