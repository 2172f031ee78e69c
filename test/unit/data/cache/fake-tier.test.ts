import { tierContract } from '../../../../src/testing/tier.ts'
import { FakeTier } from '../../../support/fake-tier.ts'

tierContract('the fake tier', async () => new FakeTier())
