package discovery

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// proofPace is how often the member's API server is asked whether it accepts the reader token.
	proofPace = 2 * time.Minute
	// replaceGap is the least time between two replacements of a token that was rejected. An API server that rejects what it has just
	// granted would cost a token, and a write in every peer, each time.
	replaceGap = 10 * time.Minute
)

// proof is what is known of a member's reader token.
type proof struct {
	// token was last proved, and accepted or not, at a time.
	token    string
	accepted bool
	at       time.Time
	// replaced is when a token that was rejected was last replaced.
	replaced time.Time
}

// provenReader keeps the reader credential, and replaces a token that the API server does not accept although its time is not up: the
// keys that sign tokens were rotated, or the cluster was restored from a backup. Peers cannot tell: an istiod that was synced once stays
// so. The result is not done while a fresh token is rejected.
func (s *Steps) provenReader(ctx context.Context, pass *member.Pass, r ReaderRequest) (Reader, phase.Result, error) {
	reader, err := EnsureReader(ctx, s.Hub, pass.Remote, r, pass.Now)
	if err != nil || len(pass.Object.Spec.Peers) == 0 {
		return reader, phase.Result{}, err
	}
	p := &s.memory.Of(pass).proof
	if p.token != reader.Token || pass.Now.Sub(p.at) >= proofPace {
		if p.accepted, err = isAccepted(ctx, pass, reader.Token); err != nil {
			return reader, phase.Result{}, err
		}
		p.token, p.at = reader.Token, pass.Now
	}
	if p.accepted {
		return reader, phase.Result{}, nil
	}
	if pass.Now.Sub(p.replaced) < replaceGap {
		return reader, phase.Waiting(meshv1alpha1.ReasonReaderTokenRejected, fmt.Sprintf("the API server of the member does not accept the "+
			"reader token that it granted at %s: peers cannot read the member; see that all its API servers have the same keys for "+
			"ServiceAccount tokens", p.replaced.UTC().Format(time.RFC3339)), proofPace), nil
	}
	log.FromContext(ctx).Info("Replacing the reader token, which the API server no longer accepts")
	r.Rejected, p.replaced = reader.Token, pass.Now
	reader, err = EnsureReader(ctx, s.Hub, pass.Remote, r, pass.Now)
	return reader, phase.Result{}, err
}

// isAccepted asks the member's API server for the account of a token. What it knows no account for it does not accept.
func isAccepted(ctx context.Context, pass *member.Pass, token string) (bool, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if err := pass.Remote.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether the reader token is accepted: %w", err)
	}
	return review.Status.Authenticated, nil
}
