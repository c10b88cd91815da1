package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// order says what to send. In JSON, durations are strings such as "1m30s".
type order struct {
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"` // Host sets the authority
	Body    string            `json:"body,omitempty"`
	// Timeout limits one request, from dialling to the last byte.
	Timeout duration `json:"timeout,omitempty"`
	// Concurrency limits requests in flight: 1000 in a run, 1 in a single shot
	// unless given. One that is due in a run beyond it fails as
	// "saturated": waiting would hide that the server is too slow for the rate.
	Concurrency int `json:"concurrency,omitempty"`
	// NewConnection makes every request dial: it then meets each change of
	// endpoints, where a kept connection would stay with its old one.
	NewConnection bool `json:"newConnection,omitempty"`

	RPS      float64  `json:"rps,omitempty"`      // of a run
	Duration duration `json:"duration,omitempty"` // of a run
	Count    int      `json:"count,omitempty"`    // of a single shot
}

// maxDuration bounds a run that nobody stops.
const maxDuration = time.Hour

// complete sets defaults and checks the order.
func (o *order) complete() error {
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if o.Timeout == 0 {
		o.Timeout = duration(5 * time.Second)
	}
	if o.RPS == 0 {
		o.RPS = 10
	}
	if o.Duration == 0 {
		o.Duration = duration(10 * time.Minute)
	}
	if o.Count == 0 {
		o.Count = 1
	}
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url %q is not an http or https URL", o.URL)
	case o.RPS < 0 || o.RPS > 10000:
		return fmt.Errorf("rps %v is not between 0 and 10000", o.RPS)
	case o.Duration < 0 || time.Duration(o.Duration) > maxDuration:
		return fmt.Errorf("duration %s is not between 0 and %s", time.Duration(o.Duration), maxDuration)
	case o.Timeout < 0 || o.Count < 0 || o.Concurrency < 0:
		return errors.New("timeout, count and concurrency cannot be negative")
	}
	return nil
}

// duration is a time.Duration that JSON shows as people write it.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil } //nolint:unparam // encoding.TextMarshaler has an error

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}
