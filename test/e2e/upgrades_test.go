//go:build e2e && upgrades

package e2e

// oldVersion and newVersion are the releases between which suites upgrade: here those before the ones of `make e2e`. They have the most faults
// to work around: they configure no foreign Gateway, and read a peer no more whose remote secret was written.
const oldVersion, newVersion = "1.28.3", "1.29.1"

// moreUpgrades are the parts that take long.
func (s *suite) moreUpgrades() []part {
	return []part{
		{"values only, with hindrances", s.upgradeValues},
		{"operator killed after every kind of write", s.upgradeKilled},
		{"objects that a policy refuses later", s.refusedLate},
		{"image that cannot start", s.badImage},
		{"proxies that crash", s.badProxy},
		{"peer that cannot be read", s.badPeer},
		{"member that goes down", s.memberDown},
		{"a pod that keeps the former revision", s.straggler},
		{"no room", s.noRoom},
		{"steered by annotation", s.steered},
		{"eviction, first namespaces first", s.evicted},
		{"gateway in place", s.inPlace},
		{"a wave alone goes back", s.waveGoesBack},
		{"a member alone goes back", s.memberGoesBack},
		{"gateway of the Gateway API", s.gatewayAPI},
		{"gates of one's own", s.ownGates},
		{"operator that renders differently", s.operatorRendersDifferently},
		{"operator that does not know the release", s.operatorWithoutRelease},
	}
}
