package gate

import (
	"context"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestAskEnds(t *testing.T) {
	g := question{"Hangs", time.Millisecond, func(ctx context.Context, _ *Subject) (Answer, error) {
		<-ctx.Done()
		return Pass("too late"), ctx.Err()
	}}
	if got := g.Ask(t.Context(), Subject{}); got.Verdict != meshv1alpha1.VerdictError || got.Name != "Hangs" {
		t.Errorf("Ask: %+v, want an Error verdict", got)
	}
	long := says("Long", Pass("%s", strings.Repeat("ä", messageSize)), nil).Ask(t.Context(), Subject{})
	if len(long.Message) > messageSize+len("…") || !strings.HasSuffix(long.Message, "ä…") {
		t.Errorf("message of %d bytes ends with %q", len(long.Message), long.Message[len(long.Message)-5:])
	}
}
