/** The fake tier that the properties of leases run on keeps the promises of a real one. */
import { leaseTierContract } from '../../../../src/testing/lease-tier.ts'
import { FakeTier } from '../../../support/fake-tier.ts'

leaseTierContract('the fake tier', async () => {
  const tier = new FakeTier()
  return [tier, tier]
})
