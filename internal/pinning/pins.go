package pinning

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// lookPace is how often the hub is asked whether it still keeps charts that are pinned.
const lookPace = time.Minute

// names are the charts of a release.
var names = []string{charts.Base, charts.Istiod, charts.Gateway}

// Pins finds and pins charts.
type Pins struct {
	// Reader reads Secrets of users from the cache of the hub.
	Reader client.Reader
	// Archives keeps what was fetched.
	Archives Archives
	// Policy limits the sources.
	Policy Policy
	// Now is the clock.
	Now func() time.Time

	jobs jobs
	mu   sync.Mutex
	// seen are the digests that the hub keeps, with the time of the last look.
	seen map[string]time.Time
}

// fetched are charts that were fetched and kept.
type fetched = meshv1alpha1.ChartDigests

// Outcome is how it stands with the charts of a mesh.
type Outcome struct {
	// Source is where they are, as status.charts names it. Empty: in the operator's image, or there is no source.
	Source string
	// IsPackaged says that they are in the operator's image. IsMissing says that they are not, and that there is no source.
	IsPackaged, IsMissing bool
	// IsReady says that they are pinned and kept.
	IsReady bool
	// IsPinned says that they are pinned: the mesh can go on with what is rendered, although Reason says why they are not kept.
	IsPinned bool
	// Reason and Problem say why they are not ready. An empty reason: they are being fetched.
	Reason  string
	Problem error
	// RetryIn is the time until the next try. Zero: unknown when.
	RetryIn time.Duration
}

// Ensure sees that the charts of the spec's version are pinned and kept. What is new is noted in the status of the installation, which the
// caller writes. It never waits for the source.
func (p *Pins) Ensure(ctx context.Context, inst *meshv1alpha1.MeshInstallation) Outcome {
	version := inst.Spec.Version
	source := p.Policy.sourceOf(inst)
	if source == nil {
		_, isPackaged := istioversion.Packaged().Lookup(version)
		return Outcome{IsPackaged: isPackaged, IsMissing: !isPackaged, IsReady: isPackaged}
	}
	out := Outcome{Source: mesh.ChartSource(source)}
	// A fetch outlives the pass, and the installation is written meanwhile.
	source, pin := source.DeepCopy(), mesh.Pinned(&inst.Status, version, out.Source).DeepCopy()
	if pin != nil && isAccepted(pin, source.Verify) {
		out.IsPinned = true
		isKept, err := p.isKept(ctx, pin.Charts)
		if err != nil {
			out.Reason, out.Problem, out.RetryIn = reasonOf(err), err, firstPause
			return out
		}
		if isKept {
			out.IsReady = true
			return out
		}
	}
	// Charts that are pinned and kept need no source.
	if problem := p.Policy.Refusal(source); problem != "" {
		out.Reason, out.Problem = meshv1alpha1.ReasonChartNotAllowed, errors.New(problem)
		return out
	}
	from, err := p.read(ctx, source)
	if err != nil {
		out.Reason, out.Problem, out.RetryIn = reasonOf(err), err, firstPause
		return out
	}
	answer := p.jobs.ask(ctx, keyOf(version, source, from, pin), p.Now, func(ctx context.Context) (fetched, error) {
		return p.fetch(ctx, from, version+source.VersionSuffix, source.Verify, pin)
	})
	switch {
	case answer.err != nil:
		out.Reason, out.Problem, out.RetryIn = reasonOf(answer.err), answer.err, answer.retryIn
	case !answer.isPending:
		at := metav1.NewTime(p.Now().Truncate(time.Second))
		if pin != nil && pin.Charts == answer.result {
			at = pin.PinnedAt
		}
		mesh.Pin(&inst.Status, meshv1alpha1.PinnedCharts{
			Version: version, Source: out.Source, Charts: answer.result, VerifiedBy: fingerprint(source.Verify), PinnedAt: at,
		})
		out.IsReady, out.IsPinned = true, true
	}
	return out
}

// isAccepted says whether pinned charts pass what is asked of charts now.
func isAccepted(pin *meshv1alpha1.PinnedCharts, verify *meshv1alpha1.ChartVerification) bool {
	return pin.VerifiedBy == cmp.Or(fingerprint(verify), pin.VerifiedBy) && notAllowed(pin.Charts, verify) == ""
}

// notAllowed is the first chart whose digest is not among the accepted ones. Empty: all are.
func notAllowed(d meshv1alpha1.ChartDigests, verify *meshv1alpha1.ChartVerification) string {
	if verify == nil || len(verify.Digests) == 0 {
		return ""
	}
	for _, name := range names {
		if !slices.Contains(verify.Digests, d.Of(name)) {
			return name
		}
	}
	return ""
}

// fingerprint identifies a public key. Empty: there is none.
func fingerprint(verify *meshv1alpha1.ChartVerification) string {
	if verify == nil || verify.CosignPublicKey == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(verify.CosignPublicKey))
	return hex.EncodeToString(sum[:])
}

// isKept says whether the hub keeps charts. It is asked at most once a minute. When it does not answer, what was known stays. Error: nothing
// was known.
func (p *Pins) isKept(ctx context.Context, d meshv1alpha1.ChartDigests) (bool, error) {
	key := strings.Join(d.All(), " ")
	p.mu.Lock()
	at, wasKept := p.seen[key]
	p.mu.Unlock()
	if wasKept && p.Now().Sub(at) < lookPace {
		return true, nil
	}
	isKept, err := p.Archives.Has(ctx, d.All()...)
	switch {
	case err != nil && wasKept:
		return true, nil
	case err != nil:
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil || len(p.seen) >= maxResults {
		p.seen = map[string]time.Time{}
	}
	delete(p.seen, key)
	if isKept {
		p.seen[key] = p.Now()
	}
	return isKept, nil
}

// read makes the source that can be fetched from, with what its Secrets and ConfigMaps contain.
func (p *Pins) read(ctx context.Context, c *meshv1alpha1.Charts) (fetch.Source, error) {
	from := fetch.Source{OCI: c.OCI, Repository: c.Repository, CA: []byte(c.CABundle), Proxy: c.Proxy}
	if c.Verify != nil {
		from.Key = []byte(c.Verify.CosignPublicKey)
	}
	if c.Archives != nil {
		var err error
		if from.Archives, err = p.archives(ctx, c.Archives); from.Archives == nil {
			from.Archives = map[string][]byte{}
		}
		return from, err
	}
	if c.PullSecretRef == nil {
		return from, nil
	}
	secret := &corev1.Secret{}
	if err := p.get(ctx, p.Reader, c.PullSecretRef.Name, secret, "spec.charts.pullSecretRef: Secret"); err != nil {
		return from, err
	}
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		if c.Proxy != "" && c.CABundle != "" {
			// Together they could have the password of the registry's host sent to another server.
			return from, &fetch.Error{Reason: fetch.Invalid, Message: "spec.charts: a docker config cannot be used with proxy and caBundle together; " +
				"set HTTPS_PROXY of the operator in place of proxy"}
		}
		from.DockerConfig = secret.Data[corev1.DockerConfigJsonKey]
	case meshv1alpha1.SecretTypeCharts:
		from.Username, from.Password = line(secret.Data[corev1.BasicAuthUsernameKey]), line(secret.Data[corev1.BasicAuthPasswordKey])
	default:
		return from, &fetch.Error{Reason: fetch.Unauthorized, Message: fmt.Sprintf("spec.charts.pullSecretRef: Secret %s has the type %q; use one of the type %s, or of "+
			"the type %s with the keys %s and %s", secret.Name, secret.Type, corev1.SecretTypeDockerConfigJson, meshv1alpha1.SecretTypeCharts,
			corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey)}
	}
	return from, nil
}

// line is a value without a line break at its end, which values from files often have.
func line(value []byte) string { return strings.TrimRight(string(value), "\r\n") }

func (p *Pins) archives(ctx context.Context, ref *meshv1alpha1.ChartArchives) (map[string][]byte, error) {
	if ref.SecretRef != nil {
		secret := &corev1.Secret{}
		err := p.get(ctx, p.Reader, ref.SecretRef.Name, secret, "spec.charts.archives.secretRef: Secret")
		return secret.Data, err
	}
	cm := &corev1.ConfigMap{}
	err := p.get(ctx, p.Archives.Reader, ref.ConfigMapRef.Name, cm, "spec.charts.archives.configMapRef: ConfigMap")
	return cm.BinaryData, err
}

func (p *Pins) get(ctx context.Context, reader client.Reader, name string, into client.Object, what string) error {
	err := reader.Get(ctx, client.ObjectKey{Namespace: p.Archives.Namespace, Name: name}, into)
	switch {
	case apierrors.IsNotFound(err):
		return &fetch.Error{Reason: fetch.NotFound, Message: fmt.Sprintf("%s %s does not exist in namespace %s; create it", what, name, p.Archives.Namespace)}
	case err != nil:
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}

// keyOf identifies a fetch: with other settings, credentials or pinned charts it is another one, and begins at once.
func keyOf(version string, c *meshv1alpha1.Charts, from fetch.Source, pin *meshv1alpha1.PinnedCharts) string {
	raw, err := json.Marshal([]any{version, c, from, pin})
	if err != nil {
		// Neither has anything that does not marshal.
		return version + mesh.ChartSource(c)
	}
	return charts.DigestOf(raw)
}

// fetch gets the charts, judges them and keeps them.
func (p *Pins) fetch(
	ctx context.Context, from fetch.Source, version string, verify *meshv1alpha1.ChartVerification, pin *meshv1alpha1.PinnedCharts,
) (fetched, error) {
	found, err := fetch.Charts(ctx, from, version, names...)
	if err != nil {
		return fetched{}, err
	}
	byName := map[string]string{}
	for _, a := range found {
		byName[a.Name] = a.Digest
	}
	digests := fetched{Base: byName[charts.Base], Istiod: byName[charts.Istiod], Gateway: byName[charts.Gateway]}
	if name := notAllowed(digests, verify); name != "" {
		return fetched{}, &fetch.Error{Reason: meshv1alpha1.ReasonChartNotAllowed, Message: fmt.Sprintf(
			"chart %s %s has the digest %s, which is not in spec.charts.verify.digests; check where it comes from, and add the digest to accept it",
			name, version, digests.Of(name))}
	}
	if pin != nil && pin.Charts != digests && (verify == nil || len(verify.Digests) == 0) {
		for _, name := range names {
			if have, want := digests.Of(name), pin.Charts.Of(name); have != want {
				return fetched{}, &fetch.Error{Reason: meshv1alpha1.ReasonChartMoved, Message: fmt.Sprintf(
					"chart %s %s has the digest %s, and %s is pinned since %s; publish the changed chart under another version, "+
						"or list the digests that you accept in spec.charts.verify.digests",
					name, version, have, want, pin.PinnedAt.UTC().Format(time.RFC3339))}
			}
		}
	}
	for _, a := range found {
		if err := p.Archives.keep(ctx, a); err != nil {
			return fetched{}, err
		}
	}
	return digests, nil
}

// reasonOf is the reason of a condition for an error.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*fetch.Error](err); ok {
		return string(e.Reason)
	}
	return meshv1alpha1.ReasonRetrying
}

func ignoreNoChart(err error) error {
	if errors.Is(err, charts.ErrNoChart) {
		return nil
	}
	return err
}
