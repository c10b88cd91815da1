package pinning

import (
	"context"
	"sync"
	"time"
)

const (
	// jobDeadline bounds one fetch.
	jobDeadline = 90 * time.Second
	// maxJobs bounds how many fetches run at the same time, and maxResults how many results are kept.
	maxJobs, maxResults = 4, 256
	// firstPause is the time between a failed fetch and the next one. It doubles each time, up to maxPause.
	firstPause, maxPause = 15 * time.Second, 10 * time.Minute
	// fresh is how long a result holds: what was kept is not swept meanwhile.
	fresh = time.Minute
)

// jobs runs fetches besides the passes that ask for them. The zero value is ready.
type jobs struct {
	mu    sync.Mutex
	known map[string]*job
	slots chan struct{}
}

// job is one fetch and its repetitions.
type job struct {
	isRunning bool
	result    fetched
	err       error
	// endedAt is when the last try ended, failures how many have failed since the last that did not.
	endedAt  time.Time
	failures int
}

// answer is what is known of a job.
type answer struct {
	result fetched
	err    error
	// isPending says that it runs for the first time. Otherwise an error is that of the last try.
	isPending bool
	// retryIn is the time until the next try.
	retryIn time.Duration
}

// ask starts a job if it is due, and returns what is known of it. The result of one that has succeeded is given for as long as it is fresh:
// several meshes may ask for it, and one may fail to note it.
func (j *jobs) ask(ctx context.Context, key string, now func() time.Time, work func(context.Context) (fetched, error)) answer {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known == nil {
		j.known, j.slots = map[string]*job{}, make(chan struct{}, maxJobs)
	}
	one := j.known[key]
	switch {
	case one == nil:
		if len(j.known) >= maxResults {
			j.forget()
		}
		one = &job{}
		j.known[key] = one
	case one.isRunning:
		return answer{err: one.err, isPending: one.failures == 0}
	case one.err == nil && now().Sub(one.endedAt) < fresh:
		return answer{result: one.result}
	case one.err == nil:
		one.result, one.failures = fetched{}, 0
	case now().Sub(one.endedAt) < pause(one.failures):
		return answer{err: one.err, retryIn: pause(one.failures) - now().Sub(one.endedAt)}
	}
	one.isRunning = true
	go j.run(context.WithoutCancel(ctx), one, now, work)
	return answer{err: one.err, isPending: one.failures == 0}
}

func (j *jobs) run(ctx context.Context, one *job, now func() time.Time, work func(context.Context) (fetched, error)) {
	ctx, cancel := context.WithTimeout(ctx, jobDeadline)
	defer cancel()
	var result fetched
	var err error
	select {
	case j.slots <- struct{}{}:
		result, err = work(ctx)
		<-j.slots
	case <-ctx.Done():
		err = ctx.Err()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	one.isRunning, one.result, one.err, one.endedAt = false, result, err, now()
	one.failures++
	if err == nil {
		one.failures = 0
	}
}

// forget drops what does not run.
func (j *jobs) forget() {
	for key, one := range j.known {
		if !one.isRunning {
			delete(j.known, key)
		}
	}
}

func pause(failures int) time.Duration {
	return min(firstPause<<min(max(failures-1, 0), 10), maxPause)
}
