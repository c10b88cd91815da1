package istiod

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// leastRate is the number of bytes for which an answer has a second more time.
const leastRate = 1 << 20

// errSlow says that an answer has used up its allowance.
var errSlow = fmt.Errorf("the answer takes longer than %s and a second for each MiB of it", askTimeout)

// allowance is the time that an answer may take: askTimeout, and a second more for each MiB that has arrived. So the bound grows with the
// mesh, and one that hangs ends early.
type allowance struct {
	began    time.Time
	timer    *time.Timer
	cancel   context.CancelFunc
	received int64
	isSlow   atomic.Bool
}

// newAllowance begins one. The context ends with it.
func newAllowance(ctx context.Context) (context.Context, *allowance) {
	ctx, cancel := context.WithCancel(ctx)
	a := &allowance{began: time.Now(), cancel: cancel}
	a.timer = time.AfterFunc(askTimeout, func() {
		a.isSlow.Store(true)
		cancel()
	})
	return ctx, a
}

// end frees what the allowance holds.
func (a *allowance) end() {
	a.timer.Stop()
	a.cancel()
}

// exceeded is errSlow if the allowance is used up.
func (a *allowance) exceeded() error {
	if a.isSlow.Load() {
		return errSlow
	}
	return nil
}

// of reads a body by the allowance.
func (a *allowance) of(body io.Reader) io.Reader { return &allowedReader{body, a} }

// arrived extends the allowance.
func (a *allowance) arrived(n int) {
	before := a.received / leastRate
	a.received += int64(n)
	if seconds := a.received / leastRate; seconds > before {
		a.timer.Reset(time.Until(a.began.Add(askTimeout + time.Duration(seconds)*time.Second)))
	}
}

type allowedReader struct {
	io.Reader

	allowance *allowance
}

// Read reads what has arrived.
func (r *allowedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.allowance.arrived(n)
	return n, err
}

// begin reads the first token of a JSON array or object, or null.
func begin(d *json.Decoder, want json.Delim) (isNull bool, err error) {
	got, err := d.Token()
	if err == nil && got != nil && got != want {
		err = fmt.Errorf("the JSON value begins with %v, not with %v", got, want)
	}
	return got == nil, err
}

// eachElement reads a JSON array, of which only one element is in memory at a time. null has no elements.
func eachElement[T any](d *json.Decoder, use func(T)) error {
	if isNull, err := begin(d, '['); err != nil || isNull {
		return err
	}
	for d.More() {
		var e T
		if err := d.Decode(&e); err != nil {
			return err
		}
		use(e)
	}
	_, err := d.Token()
	return err
}

// eachField reads a JSON object, of which only one field is in memory at a time. null has no fields.
func eachField[T any](d *json.Decoder, use func(name string, value T)) error {
	return eachKey(d, func(name string) (bool, error) {
		var value T
		if err := d.Decode(&value); err != nil {
			return false, fmt.Errorf("field %s: %w", name, err)
		}
		use(name, value)
		return true, nil
	})
}

// eachKey reads a JSON object: read takes the value of a field from the decoder, and says whether to go on. null has no fields.
func eachKey(d *json.Decoder, read func(name string) (bool, error)) error {
	if isNull, err := begin(d, '{'); err != nil || isNull {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		// The key of a field is always a string.
		name, _ := key.(string)
		if isOn, err := read(name); err != nil || !isOn {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// skip passes over a value.
func skip(d *json.Decoder) error {
	var other json.RawMessage
	return d.Decode(&other)
}
