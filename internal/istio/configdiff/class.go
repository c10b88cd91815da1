package configdiff

// Class says what a difference means for those who use the proxy.
type Class string

// Classes of differences, the gravest first.
const (
	// TLSWeakened: a connection is no longer encrypted, or a peer is verified less strictly than before.
	TLSWeakened Class = "TLSWeakened"
	// AuthorizationChanged: other rules say who may do what, how a token is checked, or whom a request counts as coming from.
	AuthorizationChanged Class = "AuthorizationChanged"
	// ListenersLost: a listener is gone, or it takes fewer connections.
	ListenersLost Class = "ListenersLost"
	// FiltersLost: a filter is gone or disabled.
	FiltersLost Class = "FiltersLost"
	// FiltersReordered: filters run in another order.
	FiltersReordered Class = "FiltersReordered"
	// RoutesLost: a domain or a route is gone, or nothing reaches it any more.
	RoutesLost Class = "RoutesLost"
	// RoutesReordered: routes are tried in another order.
	RoutesReordered Class = "RoutesReordered"
	// RoutesChanged: a route leads elsewhere, or in other proportions.
	RoutesChanged Class = "RoutesChanged"
	// ClustersLost: a destination is gone.
	ClustersLost Class = "ClustersLost"
	// EndpointsLost: an address of a destination is gone.
	EndpointsLost Class = "EndpointsLost"
	// IdentitiesLost: a peer's identity that was accepted is not any more.
	IdentitiesLost Class = "IdentitiesLost"
	// Changed: something is set in another way, for example a timeout.
	Changed Class = "Changed"
	// Added: there is more than before.
	Added Class = "Added"
)

// Classes are all classes, the gravest first.
func Classes() []Class {
	return []Class{TLSWeakened, AuthorizationChanged, ListenersLost, FiltersLost, FiltersReordered, RoutesLost, RoutesReordered,
		RoutesChanged, ClustersLost, EndpointsLost, IdentitiesLost, Changed, Added}
}

// Harmful are the classes that a good revision never shows: all but Changed and Added.
func Harmful() []Class {
	all := Classes()
	return all[:len(all)-2]
}

// Losses are the classes of what is missing because an istiod does not know of it, or not yet: it may be gone again when
// that istiod has read everything.
func Losses() []Class {
	return []Class{ListenersLost, RoutesLost, ClustersLost, EndpointsLost, IdentitiesLost}
}
