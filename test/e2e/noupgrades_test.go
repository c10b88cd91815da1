//go:build e2e && !upgrades

package e2e

import "github.com/meshfleet/meshfleet/test/harness"

// oldVersion and newVersion are the releases between which suites upgrade.
const oldVersion, newVersion = harness.FormerIstio, harness.NewestIstio

// moreUpgrades are the parts that take long: none here.
func (s *suite) moreUpgrades() []part { return nil }
