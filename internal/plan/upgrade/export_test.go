package upgrade

// What only tests of this package ask for.
var (
	Route    = route
	Together = together
)
