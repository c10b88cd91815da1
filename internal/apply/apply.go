// Package apply brings objects of a member to a wanted state by server-side apply and keeps an inventory of them, so
// that what is no longer wanted can be deleted without computing its name again.
//
// In steady state it writes nothing and, because it remembers at which resource version an object was last found
// right, mostly reads nothing either.
package apply

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	fieldManager = "meshfleet"
	// managedBy is on every object that the operator applies, shared ones included.
	managedBy = "app.kubernetes.io/managed-by"
	// parallel bounds the calls in flight to one member's API server.
	parallel = 8
)

// ManagedLabels select everything that the operator applies in a member; caches of members are restricted to them.
func ManagedLabels() map[string]string { return map[string]string{managedBy: fieldManager} }

// ErrConflict says that an object of that name exists which the operator did not create.
var ErrConflict = errors.New("exists already and was not created by this mesh installation")

// Owner identifies the installation that objects belong to.
type Owner struct {
	// Installation is `<namespace>.<name>` of the MeshInstallation.
	Installation string
	// Namespace is the member's namespace for inventories.
	Namespace string
	// Origin is that of the member's claim. Empty: it is not known yet, see Applier.Identify.
	Origin string
}

// Component is a set of objects that are applied and pruned together.
type Component struct {
	// Name of the component; its inventory is named after it.
	Name string
	// Objects wanted.
	Objects []*unstructured.Unstructured
	// Keep are objects that stay as they are if they exist, though they are not among Objects: what they are made from
	// cannot be read now.
	Keep []Reference
	// Partial says that Objects are a part of the component: those that it has already are changed, none is made, and
	// none is deleted.
	Partial bool
	// Renderings are kept beside the inventory, the one that Objects come from first. Nil: those that are kept stay.
	Renderings []Rendering
	// Shared components hold objects that others may have created and may use as well, such as CRDs: they are adopted,
	// never downgraded, and have no inventory, so that they are never deleted.
	Shared bool
}

// Applier applies components to one member.
type Applier struct {
	client client.Client
	cache  client.Reader
	owner  Owner
	ssa    *ssa.ResourceManager

	mu    sync.Mutex
	known map[string]seen
	// taken are the hashes of objects that a dry run has found to be taken.
	taken map[string][sha256.Size]byte
	// contests are the objects that were written though they existed.
	contests map[string]contest
	now      func() time.Time
}

// New makes an Applier. The cache gives metadata of the objects that carry the owner's label; reads through it are free.
func New(c client.Client, cache client.Reader, owner Owner) *Applier {
	m := ssa.NewResourceManager(c, nil, ssa.Owner{Field: fieldManager, Group: meshv1alpha1.GroupVersion.Group})
	return &Applier{
		client: c, cache: cache, owner: owner, ssa: m, now: time.Now,
		known: map[string]seen{}, taken: map[string][sha256.Size]byte{}, contests: map[string]contest{},
	}
}

// Over is an Applier over another connection to the same cluster. It knows at which resource versions objects were found right, and nothing of
// what the former credential was allowed to do.
func (a *Applier) Over(c client.Client, cache client.Reader) *Applier {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := New(c, cache, a.owner)
	out.known = maps.Clone(a.known)
	return out
}

// Apply makes the component's objects exist as wanted and deletes those of its inventory that are not wanted any more.
// It returns descriptions of what it wrote. Every object is tried; the error joins the failures, among them
// ErrConflict for an object that is somebody else's.
func (a *Applier) Apply(ctx context.Context, c Component) ([]string, error) {
	wanted := references(c.Objects)
	var inventory *Inventory
	if !c.Shared {
		var err error
		if inventory, err = a.Inventory(ctx, c.Name); err != nil {
			return nil, err
		}
		if c.Partial {
			c.Objects = slices.DeleteFunc(slices.Clone(c.Objects), func(o *unstructured.Unstructured) bool {
				return !slices.Contains(inventory.References, refOf(o))
			})
			c.Keep, wanted = inventory.References, references(c.Objects)
		}
		for _, ref := range inventory.References {
			if slices.Contains(c.Keep, ref) {
				wanted = union(wanted, []Reference{ref})
			}
		}
		// What is about to be created is written down first: a crash must not leave objects that nobody knows.
		if err := a.writeInventory(ctx, inventory, union(inventory.References, wanted), c.Renderings); err != nil {
			return nil, err
		}
	}
	var wrote []string
	for _, objects := range stages(c.Objects) {
		stage := c
		stage.Objects = objects
		w, err := a.applyAll(ctx, stage)
		wrote = append(wrote, w...)
		if err != nil {
			return wrote, err
		}
	}
	if c.Shared {
		return wrote, nil
	}
	for _, ref := range without(inventory.References, wanted) {
		if err := a.deleteOwned(ctx, c.Name, ref); err != nil {
			return wrote, err
		}
		wrote = append(wrote, "deleted "+ref.String())
	}
	return wrote, a.writeInventory(ctx, inventory, wanted, c.Renderings)
}

// stages orders what depends on other objects of its component after them: the API server checks a binding against its
// role and calls a webhook by its Service, and pods should find their account, permissions and configuration. A tag's
// Service comes before its webhook also because of who owns a Gateway meanwhile, see controlplane.Leaving.
func stages(objects []*unstructured.Unstructured) [2][]*unstructured.Unstructured {
	var out [2][]*unstructured.Unstructured
	for _, o := range objects {
		i := 0
		switch o.GetKind() {
		case "RoleBinding", "ClusterRoleBinding", "Deployment", "MutatingWebhookConfiguration":
			i = 1
		}
		out[i] = append(out[i], o)
	}
	return out
}

func (a *Applier) applyAll(ctx context.Context, c Component) ([]string, error) {
	return each(c.Objects, func(o *unstructured.Unstructured) (string, error) {
		action, err := a.applyOne(ctx, o, c)
		return action, refuse(c.Name, o, err)
	})
}

// each treats objects a few at a time, and returns what was done to which of them and the errors of the others.
func each(objects []*unstructured.Unstructured, treat func(*unstructured.Unstructured) (string, error)) ([]string, error) {
	var (
		mu    sync.Mutex
		wrote []string
		errs  []error
		wg    sync.WaitGroup
		slots = make(chan struct{}, parallel)
	)
	for _, o := range objects {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			action, err := treat(o)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if AsRefusal(err) == nil {
					err = fmt.Errorf("apply %s: %w", refOf(o), err)
				}
				errs = append(errs, err)
			} else if action != "" {
				wrote = append(wrote, action+" "+refOf(o).String())
			}
		})
	}
	wg.Wait()
	slices.Sort(wrote)
	slices.SortFunc(errs, func(x, y error) int { return compareText(x.Error(), y.Error()) })
	return wrote, joined(errs)
}

func (a *Applier) applyOne(ctx context.Context, o *unstructured.Unstructured, c Component) (string, error) {
	desired := a.label(o, c)
	key, hash := refOf(desired).String(), hashOf(desired)
	if a.unchangedSince(ctx, desired, key, hash) {
		return "", nil
	}
	live, err := a.live(ctx, desired)
	if err != nil {
		return "", err
	}
	if live != nil {
		if skip, err := a.foreign(live, desired, c); err != nil || skip {
			return "", err
		}
	}
	keepRuntimeFields(desired, live)
	if live != nil && holds(desired.Object, live.Object) && !isSurplus(desired, live) {
		a.remember(key, hash, live)
		return "", nil
	}
	if live == nil {
		if err := terminating(ctx, a.client, desired.GetNamespace()); err != nil {
			return "", err
		}
	}
	if c.Shared && a.mustWait(key, hash) {
		return "", nil
	}
	entry, err := a.serverSideApply(ctx, desired, live, c.Shared)
	if err != nil {
		return "", err
	}
	if entry.Action == ssa.UnchangedAction && live != nil {
		// The API server normalises what we send (quantities, defaults): its dry run says that nothing differs.
		a.remember(key, hash, live)
		return "", nil
	}
	if live != nil {
		a.noteWrite(key, hash, live)
	}
	return string(entry.Action), nil
}

// live is an object as it is. Nil: it is not there.
func (a *Applier) live(ctx context.Context, desired *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(desired.GroupVersionKind())
	err := a.client.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return live, nil
}

// foreign says whether an existing object must be left alone: an error when it is somebody else's, true when it is
// shared and newer or managed by another tool.
func (a *Applier) foreign(live, desired *unstructured.Unstructured, c Component) (bool, error) {
	if c.Shared {
		return isNewerOrManaged(live, desired), nil
	}
	if !a.isOurs(live, metav1.ManagedFieldsOperationApply) {
		return false, fmt.Errorf("%w; delete or rename it, or remove the member from the mesh", ErrConflict)
	}
	return false, nil
}

func (a *Applier) label(o *unstructured.Unstructured, c Component) *unstructured.Unstructured {
	d := o.DeepCopy()
	labels := d.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[managedBy] = fieldManager
	if !c.Shared {
		labels[meshv1alpha1.LabelInstallation] = a.owner.Installation
		labels[meshv1alpha1.LabelComponent] = c.Name
		if origin := originOf(a); origin != "" && d.GetNamespace() == "" {
			labels[meshv1alpha1.LabelOrigin] = origin
		}
	}
	d.SetLabels(labels)
	return d
}

// terminating reports a namespace that is going away: creating into it would fail again and again.
func terminating(ctx context.Context, c client.Client, name string) error {
	if name == "" {
		return nil
	}
	ns := &corev1.Namespace{}
	if err := c.Get(ctx, client.ObjectKey{Name: name}, ns); err != nil {
		return fmt.Errorf("read namespace %q: %w", name, err)
	}
	if !ns.DeletionTimestamp.IsZero() {
		return fmt.Errorf("namespace %q is being deleted: %w", name, ErrTerminating)
	}
	return nil
}

// ErrTerminating says that an object's namespace is being deleted.
var ErrTerminating = errors.New("waiting for the namespace to be gone")

// Delete deletes everything in the component's inventory that still carries the owner's label, then the inventory.
// It reports whether all of it is gone; call again until it says so.
func (a *Applier) Delete(ctx context.Context, component string) (bool, error) {
	inventory, err := a.Inventory(ctx, component)
	if err != nil || inventory.object == nil {
		return err == nil, err
	}
	// Pods stop before what they need goes: an istiod without its permissions could not hand on its leases, and the next
	// one would wait for them to run out.
	workloads, rest := split(inventory.References)
	for _, refs := range [][]Reference{workloads, rest} {
		if gone, err := a.deleteAll(ctx, component, refs); err != nil || !gone {
			return false, err
		}
	}
	return true, client.IgnoreNotFound(a.client.Delete(ctx, inventory.object))
}

func split(refs []Reference) (workloads, rest []Reference) {
	for _, r := range refs {
		if r.Kind == "Deployment" {
			workloads = append(workloads, r)
		} else {
			rest = append(rest, r)
		}
	}
	return workloads, rest
}

// deleteAll deletes what of refs is the component's and reports whether all of it is gone.
func (a *Applier) deleteAll(ctx context.Context, component string, refs []Reference) (bool, error) {
	var errs []error
	all := true
	for _, ref := range refs {
		if err := a.deleteOwned(ctx, component, ref); err != nil {
			errs = append(errs, err)
			continue
		}
		gone, err := a.gone(ctx, component, ref)
		all = all && gone
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

// deleteOwned deletes an object of a component unless another owner or another component has taken its name.
func (a *Applier) deleteOwned(ctx context.Context, component string, ref Reference) error {
	live, err := a.get(ctx, ref)
	if live == nil || err != nil {
		return err
	}
	if !isOf(a.owner, component, live) || !live.GetDeletionTimestamp().IsZero() {
		return nil
	}
	return a.delete(ctx, ref, live)
}

// isOf is true for an object of a component of an installation. Who takes the label of the component off takes no object away from it.
func isOf(owner Owner, component string, live client.Object) bool {
	labels := live.GetLabels()
	of := labels[meshv1alpha1.LabelComponent]
	return labels[meshv1alpha1.LabelInstallation] == owner.Installation && (of == "" || of == component)
}

// delete deletes an object as it was read.
func (a *Applier) delete(ctx context.Context, ref Reference, live client.Object) error {
	uid := live.GetUID()
	policy := metav1.DeletePropagationBackground
	if ref.Kind == "Deployment" {
		// It stays until its pods have stopped.
		policy = metav1.DeletePropagationForeground
	}
	err := a.client.Delete(ctx, live, client.Preconditions{UID: &uid}, client.PropagationPolicy(policy))
	if err := client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("delete %s: %w", ref, err)
	}
	return nil
}

func (a *Applier) gone(ctx context.Context, component string, ref Reference) (bool, error) {
	live, err := a.get(ctx, ref)
	if err != nil {
		return false, err
	}
	return live == nil || !isOf(a.owner, component, live), nil
}

func (a *Applier) get(ctx context.Context, ref Reference) (*metav1.PartialObjectMetadata, error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(ref.GroupVersionKind())
	err := a.client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, o)
	if apierrors.IsNotFound(err) || isNoKind(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref, err)
	}
	return o, nil
}

func union(a, b []Reference) []Reference {
	set := map[Reference]bool{}
	for _, r := range append(slices.Clone(a), b...) {
		set[r] = true
	}
	return slices.SortedFunc(maps.Keys(set), Reference.compare)
}
