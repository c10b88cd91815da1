package gate

const (
	// PageSize bounds one list of objects of users.
	PageSize = 500
	// InjectedLabel is on every pod that istiod has injected.
	InjectedLabel = "service.istio.io/canonical-name"
)
