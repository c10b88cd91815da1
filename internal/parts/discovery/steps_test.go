package discovery

import (
	"context"
	"errors"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestNoRestartForWhatWasNotSeen wants no restart of istiod to be asked for, or held up, by what an earlier pass has found.
func TestNoRestartForWhatWasNotSeen(t *testing.T) {
	broken := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no route")
		},
	})
	s, pass := &Steps{Hub: broken}, membertest.Pass(t, testutil.Member("east", reading("west")))
	s.memory.Of(pass).changed = []string{"west"}
	if got := s.remoteSecrets(t.Context(), pass); got.Kind != phase.Retry {
		t.Errorf("result %+v, want it to be tried again", got)
	}
	if changed := s.memory.Of(pass).changed; len(changed) > 0 {
		t.Errorf("%v are said to have changed", changed)
	}
}
