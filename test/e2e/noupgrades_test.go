//go:build e2e && !upgrades

package e2e

// moreUpgrades are the parts that take long: none here.
func (s *suite) moreUpgrades() []part { return nil }
