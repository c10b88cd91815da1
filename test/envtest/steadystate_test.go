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

// steadyState reads the audit logs: a mesh that is as it should be costs no writes, not even dry runs, and neither does a
// new instance of the operator that finds it so. The markers of discovery, which change every few minutes, are left out.
func (s *suite) steadyState(t *testing.T) {
	s.awaitCalm(t)
	t.Run("no writes", func(t *testing.T) { s.staysQuiet(t, time.Now()) })
	t.Run("no writes by a new instance", func(t *testing.T) {
		restart := time.Now()
		s.operator.stop(t)
		s.operator = s.startOperator(t)
		s.staysQuiet(t, restart)
		for _, name := range both {
			calls := len(s.members[name].calls(t, restart))
			if calls == 0 {
				t.Errorf("%s: the new instance has not called at all, so its silence proves nothing", name)
			}
			t.Logf("%s: the new instance made %d calls", name, calls)
		}
	})
}

// awaitCalm waits until the operator has written nothing for a moment.
func (s *suite) awaitCalm(t *testing.T) {
	t.Helper()
	gomega.NewWithT(t).Eventually(func() []string { return s.writesSince(t, time.Now().Add(-calm)) }).
		WithTimeout(deadline).WithPolling(polling).Should(gomega.BeEmpty())
}

// reportsOfMarkers are the most writes of the status of a MeshMember in a short time that markers of discovery account for: its own and
// those of its peers.
const reportsOfMarkers = 3

// staysQuiet fails when the operator writes anywhere, from a moment on until the quiet period is over.
func (s *suite) staysQuiet(t *testing.T, since time.Time) {
	t.Helper()
	gomega.NewWithT(t).Consistently(func() string { return strings.Join(s.writesSince(t, since), "\n") }).
		WithTimeout(quiet).WithPolling(time.Second).Should(gomega.BeEmpty())
}

func (s *suite) writesSince(t *testing.T, since time.Time) []string {
	t.Helper()
	var out []string
	reports := map[string]int{}
	for _, c := range s.clusters() {
		for _, one := range c.writes(t, since) {
			if one.isReport() {
				reports[one.ObjectRef.Name]++
			}
			if !one.isReport() || reports[one.ObjectRef.Name] > reportsOfMarkers {
				out = append(out, fmt.Sprintf("%s: %s", c.name, one))
			}
		}
	}
	return out
}
