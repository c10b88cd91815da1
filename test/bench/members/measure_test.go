//go:build bench

package members

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// process is the operator that is measured.
type process struct {
	cmd     *exec.Cmd
	metrics string
}

// startOperator runs the operator of this test binary against a hub.
func startOperator(t *testing.T, kubeconfig []byte) *process {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "kubeconfig")
	must(t, os.WriteFile(path, kubeconfig, 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &process{metrics: listener.Addr().String()}
	must(t, listener.Close())
	log, err := os.Create(filepath.Join(os.TempDir(), "bench-members-operator.log"))
	must(t, err)
	p.cmd = exec.CommandContext(context.Background(), os.Args[0])
	p.cmd.Env = append(os.Environ(), kubeconfigVariable+"="+path, metricsVariable+"="+p.metrics)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	must(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = p.cmd.Wait()
		_ = log.Close()
	})
	return p
}

// figures are the operator's counters at one moment.
type figures struct {
	at       time.Time
	cpu      time.Duration
	requests float64
	// passes of both reconcilers, and the time that those over installations took.
	installation, member, seconds float64
}

func (p *process) figures(t *testing.T) figures {
	t.Helper()
	f := figures{at: time.Now(), cpu: p.cpu(t)}
	resp, err := http.Get("http://" + p.metrics + "/metrics")
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	must(t, err)
	for _, m := range families["rest_client_requests_total"].GetMetric() {
		f.requests += m.GetCounter().GetValue()
	}
	for _, m := range families["controller_runtime_reconcile_time_seconds"].GetMetric() {
		h := m.GetHistogram()
		if m.GetLabel()[0].GetValue() == "meshinstallation" {
			f.installation, f.seconds = float64(h.GetSampleCount()), h.GetSampleSum()
		} else {
			f.member = float64(h.GetSampleCount())
		}
	}
	return f
}

// cpu is the processor time that the operator has used.
func (p *process) cpu(t *testing.T) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	must(t, err)
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	const utime, stime, hertz = 11, 12, 100
	var ticks int
	for _, i := range []int{utime, stime} {
		n, err := strconv.Atoi(fields[i])
		must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * time.Second / hertz
}

// peak is the largest memory of the operator since the last call, in MiB.
func (p *process) peak(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(t, err)
	kib := 0
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			_, err := fmt.Sscanf(rest, "%d kB", &kib)
			must(t, err)
		}
	}
	// 5 resets the high-water mark, see proc(5).
	must(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o200))
	return kib >> 10
}

// row is a line of the result.
func (p *process) row(t *testing.T, name string, before figures) string {
	t.Helper()
	after := p.figures(t)
	passes := after.installation - before.installation
	each := 0.0
	if passes > 0 {
		each = (after.seconds - before.seconds) / passes
	}
	return fmt.Sprintf("| %s | %.1f s | %.1f s | %d MiB | %.0f | %.0f | %.3f s | %.0f |", name, after.at.Sub(before.at).Seconds(), (after.cpu - before.cpu).Seconds(),
		p.peak(t), after.requests-before.requests, passes, each, after.member-before.member)
}

const head = "| phase | time | CPU of the operator | peak memory | API calls | passes over the installation | mean time of these | passes over members |\n|---|---|---|---|---|---|---|---|"

// answers says whether the operator serves its metrics.
func (p *process) answers() bool {
	resp, err := http.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
