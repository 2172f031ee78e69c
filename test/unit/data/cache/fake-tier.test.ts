import { tierContract } from '../../../contract/tier.contract.ts'
import { FakeTier } from '../../../support/fake-tier.ts'

tierContract('the fake tier', async () => new FakeTier())
