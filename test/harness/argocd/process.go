package argocd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// stopPatience is how long a process may take to end before it is killed.
const stopPatience = 10 * time.Second

// process is one program that runs beside the test.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// command is what a process is made of.
type command struct {
	name string
	path string
	// as is the name under which the program is started; the base of the path when it is empty.
	as   string
	args []string
	env  []string
}

// start runs a program until the context ends. Its output goes to a file of the directory.
func start(ctx context.Context, dir string, c command) (*process, error) {
	p := &process{name: c.name, log: filepath.Join(dir, c.name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("write the log of %s: %w", c.name, err)
	}
	defer func() { _ = log.Close() }()
	p.cmd = exec.CommandContext(ctx, c.path, c.args...)
	if c.as != "" {
		p.cmd.Args[0] = c.as
	}
	p.cmd.Dir, p.cmd.Env = dir, append(os.Environ(), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopPatience
	// A test that is killed takes its processes with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		p.err = cmp.Or(p.cmd.Wait(), errors.New("exit status 0"))
		close(p.done)
	}()
	return p, nil
}

// ended tells that the process has ended, and why.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w; its log is %s", p.name, p.err, p.log)
	default:
		return nil
	}
}

// freePort is a port of the loopback device that nothing listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}

// isListening tells whether something accepts connections on a port of the loopback device.
func isListening(port string) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", port), time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// seconds is a duration as an argument.
func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
