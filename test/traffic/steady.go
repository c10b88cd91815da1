package traffic

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	steadyRate   = 20
	steadyPeriod = 10 * time.Second
	// failuresShown of a load in an error: enough to see whether they have one time, one pair or one cause.
	failuresShown = 10
)

// SteadyLoad sends load from every member to every member, itself included, for a while and accepts no failure.
func SteadyLoad(ctx context.Context, env *harness.Env) error {
	load, err := env.StartSteady(ctx, env.Members(), steadyRate)
	if err != nil {
		return err
	}
	select {
	case <-time.After(steadyPeriod):
	case <-ctx.Done():
	}
	report, err := load.Stop(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	return RequireNoFailure(report)
}

// RequireNoFailure is the verdict on a load: requests were sent, and none failed.
func RequireNoFailure(report harness.LoadReport) error {
	switch {
	case report.Sent == 0:
		return fmt.Errorf("no request was sent")
	case report.Failed > 0:
		shown := report.Failures[:min(len(report.Failures), failuresShown)]
		lines := make([]string, 0, len(shown))
		for _, f := range shown {
			lines = append(lines, "\n  "+f.String())
		}
		return fmt.Errorf("%d of %d requests failed:%s", report.Failed, report.Sent, strings.Join(lines, ""))
	}
	return nil
}
